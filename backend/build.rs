//! Prepares the folder of the dashboard for being embedded, and has it embedded anew whenever it was built anew.

use std::io;

const FOLDER: &str = "../dashboard/dist";

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]
fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    // Its path is resolved when the backend is compiled, which may be before the dashboard is.
    std::fs::create_dir_all(FOLDER)?;
    // Other builds read the files at run time.
    if std::env::var_os("PROFILE").is_some_and(|profile| profile == "release") {
        println!("cargo:rerun-if-changed={FOLDER}");
    }
    Ok(())
}

//! Jobs of the workspace that need more than cargo: `cargo xtask dashboard`.

mod bundle;
mod dashboard;

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("dashboard") => dashboard::build(),
        _ => Err(anyhow::anyhow!("usage: cargo xtask dashboard")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Jobs of the workspace that need more than cargo: `cargo xtask dashboard`, `cargo xtask licences BINARY`.

mod bundle;
mod dashboard;
mod licences;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["dashboard"] => dashboard::build(),
        ["licences", binary] => licences::of(binary).map(|text| print!("{text}")),
        _ => Err(anyhow::anyhow!(
            "usage: cargo xtask dashboard | cargo xtask licences infra-watch|infra-watch-agent"
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

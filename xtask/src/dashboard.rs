//! Builds the dashboard into `dashboard/dist`: front-end packages, wasm, styles, index page, sizes within budget.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use wasm_bindgen_cli_support::Bindgen;

use crate::bundle::Bundle;

/// The most that the wasm may weigh on the wire: the first view is to be there within a second.
const WASM_BROTLI_BYTES_MAX: usize = 350 * 1000;
/// The most that all fonts may weigh.
const FONT_BYTES_MAX: usize = 120 * 1000;

/// The profile of the workspace that builds for size.
const PROFILE: &str = "dashboard";
const PACKAGE: &str = "infra-watch-dashboard";
const TARGET: &str = "wasm32-unknown-unknown";

/// Everything that `cargo xtask dashboard` does.
pub fn build() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in a workspace")?;
    let source = workspace.join("dashboard");
    install_packages(&source)?;
    let wasm = compile(workspace)?;
    let (script, wasm) = bind(&wasm)?;

    let mut bundle = Bundle::create(&source.join("dist"))?;
    let packages = source.join("node_modules");
    let font =
        read(&packages.join("@fontsource-variable/inter/files/inter-latin-wght-normal.woff2"))?;
    let font = bundle.asset("inter.woff2", &font)?;
    let style = fill(&styles(&source, &packages)?, &[("inter.woff2", &font)])?;
    let style = bundle.asset("style.css", style.as_bytes())?;
    let icon = bundle.asset("favicon.svg", &read(&source.join("assets/favicon.svg"))?)?;
    let theme = bundle.asset("theme.js", &read(&source.join("assets/theme.js"))?)?;
    let chart = bundle.asset(
        "uplot.js",
        &read(&packages.join("uplot/dist/uPlot.iife.min.js"))?,
    )?;
    let wasm = bundle.asset("dashboard.wasm", &wasm)?;
    let script = bundle.asset("dashboard.js", script.as_bytes())?;
    let addresses = [
        ("inter.woff2", font.as_str()),
        ("style.css", &style),
        ("favicon.svg", &icon),
        ("theme.js", &theme),
        ("uplot.js", &chart),
        ("dashboard.wasm", &wasm),
        ("dashboard.js", &script),
    ];
    let start = fill(&text(&source.join("assets/start.js"))?, &addresses)?;
    let start = bundle.asset("start.js", start.as_bytes())?;
    let page = fill(
        &text(&source.join("index.html"))?,
        &[&addresses[..], &[("start.js", &start)]].concat(),
    )?;
    bundle.page("index.html", page.as_bytes())?;
    report(&bundle)
}

/// Brings `node_modules` to what the lock file says, if it is not there already.
fn install_packages(source: &Path) -> Result<()> {
    let modified = |path: PathBuf| fs::metadata(path).and_then(|data| data.modified()).ok();
    let installed = modified(source.join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= modified(source.join("package-lock.json")) {
        return Ok(());
    }
    run(Command::new("npm").arg("ci").current_dir(source), "npm ci")
}

#[expect(
    clippy::disallowed_methods,
    reason = "what cargo tells its own tools is no setting of ours"
)]
fn from_cargo(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The folder in which cargo keeps the sources of crates.
fn crate_sources() -> Option<PathBuf> {
    let home = from_cargo("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))?;
    Some(home.join("registry/src"))
}

/// Compiles the crate and returns where the wasm is.
fn compile(workspace: &Path) -> Result<PathBuf> {
    let cargo = from_cargo("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace).args([
        "build",
        "--package",
        PACKAGE,
        "--profile",
        PROFILE,
        "--target",
        TARGET,
    ]);
    // Panics say where they were: without the paths of this machine the wasm is smaller, and the same everywhere. The last
    // that fits is taken, so the narrower come later.
    let target =
        from_cargo("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let places = [
        Some(workspace.to_owned()),
        Some(target.clone()),
        crate_sources(),
    ];
    let remaps: Vec<String> = places
        .iter()
        .flatten()
        .map(|place| format!("--remap-path-prefix={}=", place.display()))
        .collect();
    command.args(["--config", &format!("target.{TARGET}.rustflags={remaps:?}")]);
    // wasm-bindgen reads which features the wasm uses from a section that stripping takes away; it strips the rest.
    command.env("CARGO_PROFILE_DASHBOARD_STRIP", "none");
    run(&mut command, "cargo build of the dashboard")?;
    Ok(target
        .join(TARGET)
        .join(PROFILE)
        .join(format!("{PACKAGE}.wasm")))
}

/// Runs wasm-bindgen: the module's script and the wasm that belongs to it.
fn bind(wasm: &Path) -> Result<(String, Vec<u8>)> {
    let mut output = Bindgen::new()
        .input_path(wasm)
        .out_name("dashboard")
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()?;
    let has_scripts = output
        .snippets()
        .values()
        .any(|scripts| !scripts.is_empty())
        || !output.local_modules().is_empty();
    ensure!(
        !has_scripts,
        "a crate of the dashboard brings script files of its own"
    );
    let script = output.js().to_owned();
    Ok((script, output.wasm_mut().emit_wasm()))
}

/// The one stylesheet: the chart library's, then ours in the order of their names.
fn styles(source: &Path, packages: &Path) -> Result<String> {
    let folder = source.join("styles");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    paths.insert(0, packages.join("uplot/dist/uPlot.min.css"));
    paths
        .iter()
        .map(|path| text(path))
        .collect::<Result<Vec<_>>>()
        .map(|sheets| sheets.join("\n"))
}

/// Puts the address of each asset in place of its name in braces.
fn fill(template: &str, addresses: &[(&str, &str)]) -> Result<String> {
    let filled = addresses
        .iter()
        .fold(template.to_owned(), |text, (name, address)| {
            text.replace(&format!("{{{{{name}}}}}"), address)
        });
    match filled.split_once("{{") {
        Some((_, rest)) => bail!(
            "no asset is called {:?}",
            rest.split_once("}}").map_or(rest, |(name, _)| name)
        ),
        None => Ok(filled),
    }
}

/// Prints what everything weighs and fails when it weighs too much.
fn report(bundle: &Bundle) -> Result<()> {
    let mut wasm_bytes = 0;
    let mut font_bytes = 0;
    for file in bundle.files() {
        println!(
            "{:>9} bytes {:>8} brotli  {}",
            file.raw_bytes, file.brotli_bytes, file.name
        );
        match file.name.rsplit('.').next() {
            Some("wasm") => wasm_bytes += file.brotli_bytes,
            Some("woff2") => font_bytes += file.raw_bytes,
            _ => {}
        }
    }
    ensure!(
        wasm_bytes <= WASM_BROTLI_BYTES_MAX,
        "the wasm is over its budget of {WASM_BROTLI_BYTES_MAX} bytes"
    );
    ensure!(
        font_bytes <= FONT_BYTES_MAX,
        "the fonts are over their budget of {FONT_BYTES_MAX} bytes"
    );
    Ok(())
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting {what}"))?;
    ensure!(status.success(), "{what} ended with {status}");
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

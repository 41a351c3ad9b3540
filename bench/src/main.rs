//! Infra-Watch beside its peers: the same telemetry, the same questions, the same kills.

mod arguments;
mod clock;
mod data;
mod figures;
mod load;
mod measure;
mod page;
mod phase;
mod process;
mod procfs;
mod question;
mod random;
mod statistics;
mod target;
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;

use arguments::{Arguments, Name};
use data::{STEP_SECONDS, Shape};
use figures::{DataSize, Machine, Report};
use target::{InfraWatch, Peer, Product, Target};

fn main() -> ExitCode {
    let result = run(&Arguments::parse().settled());
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("infra-watch-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything; false when something was wrong with what a target did.
fn run(arguments: &Arguments) -> Result<bool> {
    let began_at = clock::unix_now();
    let load_before = procfs::load_average();
    let scratch = tempfile::Builder::new()
        .prefix("infra-watch-bench-")
        .tempdir()?;
    let (mut targets, mut left_out) = (Vec::new(), BTreeMap::new());
    let shape = shape(arguments);
    for name in &arguments.targets {
        let mut target = make(*name, arguments, scratch.path())?;
        let name = target.name();
        match target.version() {
            Ok(version) => {
                eprintln!("{name}: {version}");
                targets.push(measure::target(target.as_mut(), version, arguments, &shape));
            }
            Err(error) => {
                eprintln!("{name} is left out: {error:#}");
                left_out.insert(name.to_owned(), format!("{error:#}"));
            }
        }
        // Its server ends first, also when measuring it ended early.
        target.site_mut().stop()?;
        fs::remove_dir_all(&target.site().directory)?;
    }
    ensure!(!targets.is_empty(), "there is no target to measure");
    let mut fleet = None;
    if let Some(ours) = targets
        .iter_mut()
        .find(|target| target.name == "infra-watch")
        && arguments.fleet_hosts > 0
    {
        let size = phase::fleet::Size {
            hosts: arguments.fleet_hosts,
            seconds: arguments.fleet_seconds,
            connections: arguments.fleet_connections,
        };
        eprintln!("fleet of {} hosts", size.hosts);
        let (binary, directory) = (&arguments.backend, scratch.path());
        match phase::fleet::run(binary, directory, size, shape.seed, &mut ours.errors) {
            Ok(measured) => fleet = Some(measured),
            Err(error) => ours.errors.push(format!("fleet: {error:#}")),
        }
    }
    let report = Report {
        began_at: clock::rfc3339(began_at),
        machine: machine(load_before),
        data: data_size(arguments, &shape),
        fleet,
        targets,
        left_out,
    };
    print!("{}", page::table(&report));
    if let Some(file) = &arguments.markdown {
        fs::write(file, page::page(&report)).with_context(|| file.display().to_string())?;
    }
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    let errors = report.targets.iter().flat_map(|target| &target.errors);
    for error in errors.clone() {
        eprintln!("error: {error}");
    }
    Ok(errors.count() == 0)
}

fn make(name: Name, arguments: &Arguments, scratch: &Path) -> Result<Box<dyn Target>> {
    let peer = |product, directory: PathBuf| -> Result<Box<dyn Target>> {
        Ok(Box::new(Peer::new(product, directory)?))
    };
    match name {
        Name::InfraWatch => {
            let directory = scratch.join("infra-watch");
            Ok(Box::new(InfraWatch::new(&arguments.backend, directory)?))
        }
        Name::Prometheus => peer(Product::Prometheus, scratch.join("prometheus")),
        Name::VictoriaMetrics => peer(Product::VictoriaMetrics, scratch.join("victoria-metrics")),
    }
}

/// Length of a slot of Infra-Watch, in seconds: what has not ended is not sealed.
const SLOT_SECONDS: i64 = 7200;
/// How far into the slot that goes on the data reaches, in seconds.
const BEGUN_SECONDS: i64 = 300;

/// The newest tick of the data: shortly after a slot began, so that nearly all of it can be sealed, whenever this runs,
/// and some of it is not.
fn last_at(now: i64) -> i64 {
    let slot = now - now.rem_euclid(SLOT_SECONDS);
    let newest = (slot + BEGUN_SECONDS).min(now);
    newest - newest.rem_euclid(STEP_SECONDS)
}

/// What the arguments ask for, ending now.
fn shape(arguments: &Arguments) -> Shape {
    let ticks = |hours: f64| (hours * 3600.0 / STEP_SECONDS as f64) as usize;
    let live_ticks = ticks(arguments.hours);
    let now = clock::unix_now();
    Shape {
        seed: arguments.seed,
        hosts: arguments.hosts,
        live_ticks,
        long_hosts: arguments.long_hosts,
        history_ticks: ticks(arguments.long_hours).saturating_sub(live_ticks),
        last_at: last_at(now),
    }
}

fn data_size(arguments: &Arguments, shape: &Shape) -> DataSize {
    DataSize {
        hosts: shape.hosts,
        live_hours: arguments.hours,
        long_hosts: shape.long_hosts,
        long_hours: arguments.long_hours,
        samples: shape.samples(),
        live_posts: shape.hosts * shape.live_ticks,
        connections: arguments.connections.min(shape.hosts),
        answers_per_question: arguments.runs * arguments.rounds,
    }
}

fn machine(load_before: String) -> Machine {
    Machine {
        cpu: procfs::cpu_model(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_bytes: procfs::memory_bytes(),
        kernel: procfs::kernel(),
        load_average: [load_before, procfs::load_average()],
    }
}

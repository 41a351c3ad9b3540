//! One target from its first start to its last: load, disk, questions, kills.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::data::Shape;
use crate::figures::{Crash, DiskFigure, Figures};
use crate::phase::ask::{self, Repeats};
use crate::phase::{crash, ingest};
use crate::target::{Disk, InfraWatch, Job, Target};

/// Measures a target; where that ends early, the figures so far stand beside the error.
pub fn target(
    target: &mut dyn Target,
    version: String,
    arguments: &Arguments,
    shape: &Shape,
) -> Figures {
    let mut figures = Figures {
        name: target.name().to_owned(),
        version,
        ..Figures::default()
    };
    if let Err(error) = every_phase(target, arguments, shape, &mut figures) {
        figures.errors.push(format!("{error:#}"));
    }
    figures
}

fn every_phase(
    target: &mut dyn Target,
    arguments: &Arguments,
    shape: &Shape,
    figures: &mut Figures,
) -> Result<()> {
    let repeats = Repeats {
        runs: arguments.runs,
        rounds: arguments.rounds,
    };
    target.start()?;
    eprintln!("  loading {} samples", shape.samples());
    target.introduce(0..shape.hosts)?;
    let mut live = ingest::load(target, shape, arguments.connections, &mut figures.errors)?;
    note_disk(figures, "live", target.disk()?, shape);
    live.settling_cpu_seconds = ingest::settle(target)?;
    eprintln!(
        "  {:.0} posts/s, {:.1} µs of CPU each",
        live.posts_per_second, live.cpu_us_per_post
    );
    figures.live = Some(live);

    run_job(target, Job::Seal, "sealed", figures, shape)?;
    eprintln!("  asking");
    figures.sealed = ask::all(target, shape, repeats, &mut figures.errors)?;
    let is_repacked = run_job(target, Job::Repack, "repacked", figures, shape)?;
    let is_rolled_up = run_job(target, Job::Rollup, "rolled-up", figures, shape)?;
    if is_repacked || is_rolled_up {
        eprintln!("  asking again");
        figures.rolled_up = ask::all(target, shape, repeats, &mut figures.errors)?;
    }
    if let Some(directory) = &arguments.keep
        && figures.name == "infra-watch"
    {
        target.site_mut().stop()?;
        keep(&target.site().data(), directory, &arguments.backend)?;
        target.start()?;
    }

    if arguments.kills > 0 {
        figures.crash = Some(kill(target, arguments, shape, &mut figures.errors)?);
    }
    target.site_mut().stop()
}

fn kill(
    target: &mut dyn Target,
    arguments: &Arguments,
    shape: &Shape,
    errors: &mut Vec<String>,
) -> Result<Crash> {
    eprintln!("  killing it in the middle of posts");
    let hosts = shape.hosts..shape.hosts + arguments.connections.min(shape.hosts);
    target.introduce(hosts.clone())?;
    let crash = crash::kill(target, shape, hosts, arguments.kills, errors)?;
    // VictoriaMetrics says itself that it may lose the last seconds.
    if crash.lost_posts > 0 && target.name() == "infra-watch" {
        errors.push(format!("{} acknowledged posts are lost", crash.lost_posts));
    }
    Ok(crash)
}

fn run_job(
    target: &mut dyn Target,
    job: Job,
    stage: &str,
    figures: &mut Figures,
    shape: &Shape,
) -> Result<bool> {
    let Some(disk) = target.run(job)? else {
        eprintln!("  {stage}: n/a");
        return Ok(false);
    };
    note_disk(figures, stage, disk, shape);
    Ok(true)
}

fn note_disk(figures: &mut Figures, stage: &str, disk: Disk, shape: &Shape) {
    let bytes_per_sample = disk.series_bytes as f64 / shape.samples() as f64;
    eprintln!("  {stage}: {bytes_per_sample:.2} bytes a sample");
    figures.disk.push(DiskFigure {
        stage: stage.to_owned(),
        series_bytes: disk.series_bytes,
        bytes_per_sample,
        state_bytes: disk.state_bytes,
    });
}

/// Copies a backend's data, and says how to look at it.
fn keep(data: &Path, directory: &Path, binary: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), directory.join(entry.file_name()))
                .with_context(|| entry.path().display().to_string())?;
        }
    }
    let (binary, directory) = (binary.display(), directory.display());
    let (username, password) = (InfraWatch::USERNAME, InfraWatch::PASSWORD);
    eprintln!("  kept; look at it as {username} with the password {password:?}:");
    eprintln!("    {binary} serve --data-dir {directory}");
    Ok(())
}

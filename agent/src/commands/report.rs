//! `report`: one report on standard output, and nothing else there.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Instant;

use super::{Outcome, facts, sender};
use crate::asked::Asked;
use crate::command_line::ReportArgs;
use crate::config::Settings;
use crate::daemon::FIRST_MEASURE;
use crate::facts::Host;
use crate::measure::{Measurement, Meter};
use crate::report::Columns;
use crate::state::{StateDir, StateError};
use crate::{chain, clock};

/// Measures for a moment and prints. `original` is what was to be run in place of this, over SSH.
pub async fn report(
    settings: &Settings,
    state_dir: &Path,
    args: &ReportArgs,
    original: Option<&str>,
) -> Outcome {
    let mut asked = Asked {
        since: args.since,
        known_snapshot: args.known_snapshot.clone(),
    };
    if let Some(command) = original {
        asked = Asked::of_command(command)?.or(asked);
    }
    // A host that is asked over SSH must let nothing be written on it.
    let state = StateDir::open(state_dir).unwrap_or_else(|error| {
        tracing::warn!(
            error = chain(&error),
            "nothing is written; what is kept already is used"
        );
        StateDir::as_it_is(state_dir)
    });
    let install_id = match state.install_id() {
        Err(error @ StateError::Io { .. }) => {
            tracing::warn!(error = chain(&error), "the report has no install id");
            None
        }
        install_id => Some(install_id?),
    };
    let sender = sender(settings, install_id)?;
    // Before measuring: what it costs is no load of the host's.
    let snapshot = facts(settings, &state)?.take(clock::unix_seconds());
    let root = settings.host_root()?;
    let mut meter = Meter::new(&root);
    meter.measure(Instant::now());
    tokio::time::sleep(FIRST_MEASURE).await;
    let at = clock::unix_seconds();
    let point = Measurement {
        at,
        samples: meter.measure(Instant::now()),
    };
    let host = Host::read(&root);
    let is_known = asked.since(at).is_some_and(|since| at <= since);
    let points = if is_known { Vec::new() } else { vec![point] };
    let columns = Columns::of(&points)?;
    let report = sender.report(columns, Some(&host), asked.mention(&snapshot), at)?;
    // By way of a value, in which keys are sorted: for people, and so that equal reports are equal.
    let report = serde_json::to_value(&report)?;
    let mut text = if args.pretty {
        serde_json::to_string_pretty(&report)?
    } else {
        serde_json::to_string(&report)?
    };
    text.push('\n');
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

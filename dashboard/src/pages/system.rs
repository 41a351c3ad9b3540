//! The backend itself: what it keeps, how much room is left, how its jobs run.

use infra_watch_client::operations;
use infra_watch_client::types::{HostStatus, Job, JobResult, StoredTier, System, Tier};
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::api::use_api;
use crate::components::bar::bar;
use crate::components::fact::fact;
use crate::components::status::mark;
use crate::components::time::{exact_time, time, time_or};
use crate::format;
use crate::hooks::clock::{use_now, zone};
use crate::hooks::polled::use_polled;
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;
use crate::route::Route;

/// How often the backend is asked how it is.
const SYSTEM_SECONDS: u32 = 10;

/// Figures, then what is kept, then the jobs.
#[component]
pub fn SystemPage() -> Html {
    let system = use_polled((), Some(SYSTEM_SECONDS), |api, ()| {
        api.ask(operations::get_system())
    });
    let refresh = system.retry.clone();
    html! {
        <SectionPage route={Route::System} about="What the backend keeps, how much room is left, and how its jobs run.">
            { system.show(skeleton, |system| html! {
                <>
                    <dl class="card facts">{ facts(system) }</dl>
                    <h2 class="table-title" id="tiers">{ "What is kept" }</h2>
                    <div class="card table-card">
                        <table class="table" aria-labelledby="tiers">
                            <thead><tr>
                                <th scope="col">{ "Detail" }</th><th scope="col" class="number">{ "Points" }</th><th scope="col" class="number">{ "Size" }</th>
                                <th scope="col">{ "Kept from" }</th><th scope="col">{ "Kept for" }</th>
                            </tr></thead>
                            <tbody>{ for system.tiers.iter().map(tier) }</tbody>
                        </table>
                    </div>
                    <h2 class="table-title" id="jobs">{ "Jobs" }</h2>
                    <div class="card table-card">
                        <table class="table" aria-labelledby="jobs">
                            <thead><tr>
                                <th scope="col">{ "Job" }</th><th scope="col">{ "Runs" }</th><th scope="col">{ "Last run" }</th><th scope="col">{ "Took" }</th>
                                <th scope="col">{ "Result" }</th><th scope="col">{ "Next run" }</th><th scope="col"><span class="visually-hidden">{ "Actions" }</span></th>
                            </tr></thead>
                            <tbody>{ for system.jobs.iter().enumerate().map(|(place, job)| html! {
                                <JobRow key={job.name.clone()} system={system.clone()} {place} refresh={refresh.clone()} />
                            }) }</tbody>
                        </table>
                    </div>
                </>
            }) }
        </SectionPage>
    }
}

fn facts(system: &System) -> Html {
    let number = |count: u64| html! { format::number(count as f64) };
    let bytes = |bytes: Option<u64>| {
        bytes.map_or_else(
            || format::NOTHING.to_owned(),
            |bytes| format::bytes(bytes as f64),
        )
    };
    let alerts = &system.alerts;
    let took = alerts.evaluated_at.map(|_| html! { <span class="muted">{ format!(" · took {}", format::duration(alerts.evaluation_seconds)) }</span> });
    let oldest = alerts
        .oldest_waiting_at
        .map(|at| html! { <span class="muted">{ ", the oldest of " }{ time(Some(at)) }</span> });
    let (free, total) = (system.disk_free_bytes, system.disk_total_bytes);
    let used_percent = free.zip(total).filter(|(_, total)| *total > 0);
    let used_percent = used_percent.map(|(free, total)| 100.0 * (1.0 - free as f64 / total as f64));
    let unsealed = format!(
        " · {} unsealed",
        format::number(system.unsealed_points as f64)
    );
    html! {
        <>
            { fact("Version", html! { &system.version }) }
            { fact("Running since", exact_time(Some(system.started_at), format::NOTHING)) }
            { fact("Hosts", number(system.hosts)) }
            { fact("Series", number(system.series)) }
            { fact("Points", html! { <>{ number(system.points) }<span class="muted">{ unsealed }</span></> }) }
            { fact("Store", html! { bytes(system.store_bytes) }) }
            { fact("Disk", html! { <span class="with-bar">{ bar("Disk used", used_percent) }<span>{ format!("{} free of {}", bytes(free), bytes(total)) }</span></span> }) }
            { fact("At this pace", html! { pace(system) }) }
            { fact("Alerts", html! { <>{ format!("{} firing, {} pending", alerts.firing, alerts.pending) }<span class="muted">{ format!(" · {} watched", format::number(alerts.watches as f64)) }</span></> }) }
            { fact("Evaluated", html! { <>{ time_or(alerts.evaluated_at, "not yet") }{ for took }</> }) }
            { fact("Messages", html! { <>{ format!("{} waiting", format::number(alerts.waiting_notifications as f64)) }{ for oldest }</> }) }
            { fact("Failed deliveries", number(alerts.failed_deliveries)) }
        </>
    }
}

/// When the disk is full. Without an answer there are two reasons: the pace is known from the first day on that was
/// rolled up.
fn pace(system: &System) -> String {
    let is_known = system
        .tiers
        .iter()
        .any(|stored| stored.tier != Tier::Raw && stored.points > 0);
    match system.days_until_full {
        Some(days) => format::full_in(days),
        None if is_known => "does not fill up".to_owned(),
        None => "too little known yet".to_owned(),
    }
}

fn tier(stored: &StoredTier) -> Html {
    let name = match stored.tier {
        Tier::Raw => "Raw points",
        Tier::FiveMinutes => "5 minutes",
        Tier::Hour => "1 hour",
    };
    html! {
        <tr key={name} data-tier={stored.tier.to_string()}>
            <th scope="row">{ name }</th>
            <td data-label="Points" class="number">{ format::number(stored.points as f64) }</td>
            <td data-label="Size" class="number">{ format::bytes(stored.bytes as f64) }</td>
            <td data-label="Kept from" class="wide nowrap">{ exact_time(stored.from, "nothing yet") }</td>
            <td data-label="Kept for">{ format::duration(stored.retention_seconds as f64) }</td>
        </tr>
    }
}

/// A job's name, what it does, and what it counts.
fn words(name: &str) -> (&str, &'static str, &'static str) {
    match name {
        "seal" => (
            "Seal",
            "Writes measurements that are complete from the log into the store",
            "row",
        ),
        "repack" => (
            "Repack",
            "Packs days that have ended, one row a host",
            "row",
        ),
        "rollup" => (
            "Roll up",
            "Makes buckets of 5 minutes and of an hour from packed days",
            "host-day",
        ),
        "retention" => (
            "Retention",
            "Removes what was kept for as long as it is to be",
            "piece",
        ),
        "compact" => (
            "Compact",
            "Gives space that is free inside the store back to the disk",
            "compaction",
        ),
        "sweep" => (
            "Sweep",
            "Removes ended sessions, expired tokens and what deleted hosts left",
            "record",
        ),
        "evaluate" => (
            "Evaluate",
            "Holds what was measured against the rules of alerts",
            "change",
        ),
        "deliver" => (
            "Deliver",
            "Sends what waits to the channels of alerts",
            "message",
        ),
        other => (other, "", "thing"),
    }
}

#[derive(PartialEq, Properties)]
struct JobRowProps {
    system: Shared<System>,
    /// Which of its jobs.
    place: usize,
    /// Asks for everything anew.
    refresh: Callback<()>,
}

/// A job with the button that runs it now.
#[component]
fn JobRow(props: &JobRowProps) -> Html {
    let api = use_api();
    let now = use_now();
    let submit = use_submit();
    let answer = use_state(|| None::<Job>);
    let Some(job) = props.system.jobs.get(props.place) else {
        return Html::default();
    };
    // What the run answered is newer than the page until the page has been asked for again.
    let job = match &*answer {
        Some(answer) if answer.last_run_at > job.last_run_at => answer,
        _ => job,
    };
    let (name, meaning, noun) = words(&job.name);
    let is_busy = submit.is_busy();
    let action = if is_busy { "Running" } else { "Run now" };
    let run = {
        let (submit, refresh, name) = (submit.clone(), props.refresh.clone(), job.name.clone());
        let answer = answer.clone();
        move |_| {
            let (refresh, answer) = (refresh.clone(), answer.clone());
            let job = api.ask(operations::run_job(&name));
            let request = async move {
                let job = job.await;
                // A run that failed has a result as well.
                refresh.emit(());
                job
            };
            submit.run(Box::pin(request), move |job| answer.set(Some(job)));
        }
    };
    let said = match &*answer {
        _ if is_busy => format!("{name} is running"),
        Some(_) => format!("{name} is done"),
        None => String::new(),
    };
    let next = job.next_run_at.map(|at| html! {
        <time datetime={at.to_rfc3339()} title={format::moment(at, zone(at))}>{ format::clock(at, now, zone(at)) }</time>
    });
    html! {
        <tr data-job={job.name.clone()}>
            <th scope="row">{ name }<p class="meaning">{ meaning }</p></th>
            <td data-label="Runs" title={format!("{} UTC", job.schedule)}>{ format::schedule(&job.schedule, zone(now)) }</td>
            <td data-label="Last run" class="nowrap">{ time_or(job.last_run_at, "not yet") }</td>
            <td data-label="Took" class="nowrap">{ job.last_duration_seconds.map_or_else(|| format::NOTHING.to_owned(), format::duration) }</td>
            <td data-label="Result" class="result wide">
                { result(job, is_busy, noun) }
                if let Some(error) = submit.whole(&[]) { <p class="field-error" role="alert">{ error }</p> }
            </td>
            <td data-label="Next run" class="nowrap">{ next.unwrap_or_else(|| html! { format::NOTHING }) }</td>
            <td class="row-actions">
                <span class="visually-hidden" role="status">{ said }</span>
                // Not `disabled`, which would take the focus from whoever pressed it.
                <button type="button" class="button" data-action="run" aria-label={format!("{action}: {name}")} aria-disabled={is_busy.to_string()} onclick={run}>
                    { action }
                </button>
            </td>
        </tr>
    }
}

/// How the last run ended, or that one is under way.
fn result(job: &Job, is_busy: bool, noun: &str) -> Html {
    match job.last_result {
        _ if is_busy || job.running => mark(HostStatus::Pending, "running"),
        None => html! { <span class="muted">{ format::NOTHING }</span> },
        Some(JobResult::Succeeded) => {
            let done = match job.last_items {
                Some(items @ 1..) => format::count(items as usize, noun),
                _ => "nothing to do".to_owned(),
            };
            html! { <>{ mark(HostStatus::Up, "succeeded") }<span class="muted">{ format!(" · {done}") }</span></> }
        }
        Some(JobResult::Failed) => html! {
            <>{ mark(HostStatus::Down, "failed") }<p class="field-error">{ job.last_error.as_deref().unwrap_or_default() }</p></>
        },
    }
}

//! The figures as a page in Markdown.

use crate::figures::{Asked, Figures, Report};
use crate::question::Question;

const MIB: f64 = 1_048_576.0;

type Cell<'a> = Box<dyn Fn(&Figures) -> Option<String> + 'a>;

/// The whole page.
pub fn page(report: &Report) -> String {
    let mut page = "# Benchmarks\n\nWritten by `make bench`: the same telemetry for every target, the same client, one \
                    target at a time, all on one\nmachine that the client shares.\n\n"
        .to_owned();
    for line in facts(report) {
        page.push_str(&format!("- {line}\n"));
    }
    page.push('\n');
    page.push_str(&table(report));
    page.push_str(
        "\nCPU is the server's own (`/proc/PID/stat`). Bytes are allocated blocks; those of Infra-Watch a sample are of \
         `series.redb`,\nthose of Prometheus once sealed are of a snapshot with its head as blocks, those of \
         VictoriaMetrics are merged. Every\nanswer is held against the data that went in. `kill -9` keeps the kernel's \
         page cache. A fleet's answers are timed from\nthe moment that a post was due.\n",
    );
    let errors: Vec<_> = report
        .targets
        .iter()
        .flat_map(|target| target.errors.iter().map(move |error| (&target.name, error)))
        .collect();
    if !errors.is_empty() {
        page.push_str("\n## Errors\n\n");
        for (name, error) in errors {
            page.push_str(&format!("- {name}: {error}\n"));
        }
    }
    page
}

fn facts(report: &Report) -> Vec<String> {
    let (data, machine) = (&report.data, &report.machine);
    let mut lines = vec![
        format!("Began {}", report.began_at),
        format!(
            "Machine: {} cores of {}, {:.0} GiB, Linux {}; load average {} before, {} after",
            machine.cores,
            machine.cpu,
            machine.memory_bytes as f64 / MIB / 1024.0,
            machine.kernel,
            machine.load_average[0],
            machine.load_average[1]
        ),
        format!(
            "Data: {} hosts × 12 gauges × {} h live, one post a host every 30 s ({} posts); the first {} hosts have {} h \
             of history; {} samples",
            data.hosts,
            data.live_hours,
            data.live_posts,
            data.long_hosts,
            data.long_hours,
            data.samples
        ),
        format!(
            "Posts in flight: {}; answers behind each percentile of a question: {}",
            data.connections, data.answers_per_question
        ),
    ];
    let versions = report.targets.iter().map(|target| target.version.clone());
    lines.extend(versions);
    lines.extend(
        report
            .left_out
            .iter()
            .map(|(name, why)| format!("{name} is left out: {why}")),
    );
    if let Some(fleet) = &report.fleet {
        lines.push(format!(
            "Fleet: {} hosts, each posting every 30 s for {:.0} s, on {} connections; enrolled {:.0} a second; load \
             average {}",
            fleet.hosts,
            fleet.seconds,
            fleet.connections,
            fleet.enrollments_per_second,
            fleet.load_average
        ));
    }
    lines
}

/// The one table.
pub fn table(report: &Report) -> String {
    let names = report.targets.iter().map(|target| target.name.as_str());
    let mut lines = vec![row("figure", names.map(str::to_owned), "aim")];
    let aligned = report.targets.iter().map(|_| "---:".to_owned());
    lines.push(row("---", aligned, "---"));
    for (title, aim, cell) in rows(report) {
        let cells: Vec<_> = report.targets.iter().map(cell).collect();
        if cells.iter().any(Option::is_some) {
            let shown = cells
                .into_iter()
                .map(|cell| cell.unwrap_or("n/a".to_owned()));
            lines.push(row(&title, shown, aim));
        }
    }
    lines.join("\n") + "\n"
}

fn row(title: &str, cells: impl Iterator<Item = String>, aim: &str) -> String {
    let cells: Vec<_> = cells.collect();
    format!("| {title} | {} | {aim} |", cells.join(" | "))
}

fn rows(report: &Report) -> Vec<(String, &'static str, Cell<'_>)> {
    let mut rows: Vec<(String, &'static str, Cell<'_>)> = Vec::new();
    let mut add = |title: &str, aim, cell| rows.push((title.to_owned(), aim, cell));
    add(
        "live: CPU a post, µs",
        "≤ 40",
        live(|live| format!("{:.1}", live.cpu_us_per_post)),
    );
    add(
        "live: samples a CPU-second",
        "",
        live(|live| format!("{:.0}", live.samples_per_cpu_second)),
    );
    add(
        "live: posts/s",
        "",
        live(|live| format!("{:.0}", live.posts_per_second)),
    );
    add(
        "live: answer p50 / p99, ms",
        "",
        live(|live| format!("{:.1} / {:.1}", live.latency_ms.p50, live.latency_ms.p99)),
    );
    add(
        "live: peak resident, MiB",
        "",
        live(|live| format!("{:.0}", live.peak_resident_bytes as f64 / MIB)),
    );
    add("bytes a sample, right after load", "", disk("live"));
    add("bytes a sample, sealed", "≤ 1.0", disk("sealed"));
    add("bytes a sample, repacked", "≤ 0.85", disk("repacked"));
    add("bytes a sample, rolled up", "", disk("rolled-up"));
    add(
        "all else on disk, KiB",
        "",
        Box::new(|figures| {
            let last = figures.disk.last()?;
            (last.state_bytes > 0).then(|| (last.state_bytes / 1024).to_string())
        }),
    );
    for question in Question::ALL {
        let title = format!("{}, sealed: p50 / p99, ms", question.title());
        add(
            &title,
            question.aim(),
            asked(question, |figures| &figures.sealed),
        );
    }
    for question in Question::ALL {
        let title = format!("{}, rolled up: p50 / p99, ms", question.title());
        add(
            &title,
            question.aim(),
            asked(question, |figures| &figures.rolled_up),
        );
    }
    add(
        "ready after kill -9, ms (median)",
        "≤ 150",
        Box::new(|figures| {
            let crash = figures.crash.as_ref()?;
            Some(format!("{:.0}", crash.median_ready_ms))
        }),
    );
    add(
        "acknowledged posts lost by kill -9",
        "0",
        Box::new(|figures| {
            let crash = figures.crash.as_ref()?;
            Some(format!(
                "{} of {}",
                crash.lost_posts, crash.acknowledged_posts
            ))
        }),
    );
    let mut fleet = |title: &str, aim, text: fn(&crate::figures::Fleet) -> String| {
        add(
            title,
            aim,
            Box::new(move |figures| {
                let is_ours = figures.name == "infra-watch";
                report.fleet.as_ref().filter(|_| is_ours).map(text)
            }),
        );
    };
    fleet("fleet: CPU, % of one core", "≤ 25", |fleet| {
        format!("{:.1}", fleet.cpu_percent_of_a_core)
    });
    fleet("fleet: resident peak / final, MiB", "≤ 400", |fleet| {
        let mib = |bytes: u64| bytes as f64 / MIB;
        format!(
            "{:.0} / {:.0}",
            mib(fleet.peak_resident_bytes),
            mib(fleet.final_resident_bytes)
        )
    });
    fleet("fleet: answer p50 / p99, ms", "≤ 250", |fleet| {
        format!("{:.1} / {:.1}", fleet.latency_ms.p50, fleet.latency_ms.p99)
    });
    fleet("fleet: posts that failed", "0", |fleet| {
        format!("{} of {}", fleet.failures, fleet.posts)
    });
    rows
}

fn live<'a>(text: fn(&crate::figures::Live) -> String) -> Cell<'a> {
    Box::new(move |figures| figures.live.as_ref().map(text))
}

fn disk<'a>(stage: &'static str) -> Cell<'a> {
    Box::new(move |figures| {
        let found = figures.disk.iter().find(|disk| disk.stage == stage)?;
        Some(format!("{:.2}", found.bytes_per_sample))
    })
}

fn asked<'a>(question: Question, of: fn(&Figures) -> &Vec<Asked>) -> Cell<'a> {
    Box::new(move |figures| {
        let title = question.title();
        let found = of(figures).iter().find(|asked| asked.question == title)?;
        Some(format!(
            "{:.2} / {:.2}",
            found.latency_ms.p50, found.latency_ms.p99
        ))
    })
}

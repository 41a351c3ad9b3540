//! Timelines: what becomes of an alert, sample by sample, as lines that can be read.

use super::rule::*;
use super::step::*;
use crate::domain::selector::Selector;
use chrono::DateTime;
use uuid::Uuid;

/// A rule from words: `> 90 for 2m clear 80 for 1m`.
fn rule(words: &str) -> AlertRule {
    let mut rule = AlertRule {
        rule_id: Uuid::nil(),
        name: words.to_owned(),
        severity: Severity::Warning,
        enabled: true,
        selector: Selector::default(),
        condition: Condition::Absence,
        for_seconds: 0,
        clear_value: None,
        clear_for_seconds: 0,
        no_data: NoData::Keep,
        repeat_interval_seconds: None,
        channels: Vec::new(),
        is_default: false,
        created_by: String::new(),
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    };
    let seconds = |text: &str| {
        let (number, unit) = text.split_at(text.len() - 1);
        let number: u32 = number.parse().unwrap();
        number
            * match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => panic!("{text}"),
            }
    };
    let threshold = |operator: &str, value: &str| Threshold {
        metric: "cpu_usage_percent".to_owned(),
        instance: None,
        operator: match operator {
            ">" => Operator::Gt,
            ">=" => Operator::Gte,
            "<" => Operator::Lt,
            "<=" => Operator::Lte,
            _ => panic!("{operator}"),
        },
        value: value.parse().unwrap(),
    };
    let mut words: &[&str] = &words.split(' ').collect::<Vec<_>>();
    let mut clears = false;
    while let [first, rest @ ..] = words {
        words = match (*first, rest) {
            (operator @ (">" | ">=" | "<" | "<="), [value, rest @ ..]) => {
                rule.condition = Condition::Threshold(threshold(operator, value));
                rest
            }
            ("within", [time, rest @ ..]) => {
                rule.condition = Condition::Forecast {
                    threshold: rule.condition.threshold().unwrap().clone(),
                    within_seconds: seconds(time),
                };
                rest
            }
            ("for", [time, rest @ ..]) => {
                if clears {
                    rule.clear_for_seconds = seconds(time);
                } else {
                    rule.for_seconds = seconds(time);
                }
                rest
            }
            ("clear", ["for", ..]) => {
                clears = true;
                rest
            }
            ("clear", [value, rest @ ..]) => {
                clears = true;
                rule.clear_value = Some(value.parse().unwrap());
                rest
            }
            ("no-data", [what, rest @ ..]) => {
                rule.no_data = match *what {
                    "resolve" => NoData::Resolve,
                    "alert" => NoData::Alert,
                    _ => NoData::Keep,
                };
                rest
            }
            ("silent", rest) => rest,
            ("drift", rest) => {
                rule.condition = Condition::Drift {
                    section: None,
                    key: None,
                };
                rest
            }
            (word, _) => panic!("{word}"),
        };
    }
    rule
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Quiet => "ok",
        Outcome::Pending { .. } => "pending",
        Outcome::Fires {
            reason: Reason::NoData,
            ..
        } => "missing",
        Outcome::Fires { .. } | Outcome::Firing => "firing",
        Outcome::Resolves(Reason::NoData) => "gone",
        Outcome::Resolves(_) => "resolved",
    }
}

/// Steps every `interval` seconds. A word is the sample of that moment, `_` for a report without one, and `.` for a
/// silent host; `x3` after it says it for three steps.
fn check_every(interval: i64, words: &str, samples: &str, expect: &str) {
    let rule = rule(words);
    let mut watch = Watch::default();
    let mut heard = Heard {
        last_at: None,
        newest_at: None,
        interval_seconds: interval,
        listening_since: i64::MIN / 2,
    };
    let mut said = Vec::new();
    let samples = samples.split(' ').flat_map(|word| {
        let (word, times) = word.split_once('x').unwrap_or((word, "1"));
        vec![word; times.parse().unwrap()]
    });
    for (now, sample) in (0..)
        .step_by(usize::try_from(interval).unwrap())
        .zip(samples)
    {
        let mut new = Vec::new();
        if sample != "." {
            heard.last_at = Some(now);
            heard.newest_at = Some(now);
            new.extend(sample.parse().ok().map(|value| (now, value)));
        }
        let readings = match rule.condition {
            Condition::Absence => Readings::Silence,
            Condition::Drift { .. } => Readings::Fact {
                // `3` differs since tick 3, `0` nothing differs, `?` nobody knows.
                since: sample
                    .parse()
                    .ok()
                    .filter(|tick| *tick > 0)
                    .map(|tick: i64| tick * interval),
                is_known: sample != "?",
            },
            _ => Readings::Samples(&new),
        };
        let outcome = step(&rule, &mut watch, readings, &heard, now);
        watch.settle(outcome, now);
        said.push(word(outcome));
    }
    let expect: Vec<_> = expect
        .split(' ')
        .flat_map(|word| {
            let (word, times) = word.split_once('x').unwrap_or((word, "1"));
            vec![word; times.parse().unwrap()]
        })
        .collect();
    assert_eq!(said, expect, "{words}");
}

fn check(words: &str, samples: &str, expect: &str) {
    check_every(60, words, samples, expect);
}

#[test]
fn it_fires_when_every_sample_of_the_window_breaches() {
    check(
        "> 90 for 2m",
        "50 95 95 95 10",
        "ok pending pending firing resolved",
    );
    check(
        "> 90 for 2m",
        "95 95 50 95 95 95",
        "pending pending ok pending pending firing",
    );
    check("> 90", "90 91 90", "ok firing resolved");
    check(">= 90", "90 89", "firing resolved");
    check("< 10 for 1m", "5 5 10", "pending firing resolved");
    check("<= 10 for 1m", "10 10 11", "pending firing resolved");
    check("> 90 for 10m", "95x10 95 95", "pendingx10 firing firing");
    // A window of ten with two samples missing is covered enough; with three it is not.
    check("> 90 for 10m", "95x4 _x2 95x5", "pendingx10 firing");
    check("> 90 for 10m", "95x4 _x3 95x8", "pendingx14 firing");
}

/// `http_requests < 100`, `for: 1m`, a sample and an evaluation every five minutes, and `keep_firing_for: 1m`: the
/// cases of `rules/manager_test.go` and `rules/alerting_test.go`.
#[test]
fn it_is_what_prometheus_does() {
    check_every(
        300,
        "< 100 for 1m",
        "75 85 95 105 105 95 85",
        "pending firing firing resolved ok pending firing",
    );
    check_every(
        300,
        "< 100 for 1m",
        "80 90 100 110 120 130 140",
        "pending firing resolved ok ok ok ok",
    );
    check_every(
        300,
        "> 50 for 1m clear for 1m",
        "75 85 70 70 10x5",
        "pending firing firing firing firing resolved ok ok ok",
    );
    check_every(300, "> 50 for 1m clear for 1m", "75 10x10", "pending okx10");
    // Becoming true again ends the keeping.
    check_every(
        60,
        "> 50 clear for 3m",
        "75 10 10 75 10 10 10 10",
        "firingx7 resolved",
    );
}

#[test]
fn it_is_over_behind_the_clear_value_for_the_clear_time() {
    check(
        "> 90 clear 80",
        "95 85 81 80 85",
        "firing firing firing resolved ok",
    );
    check(
        "< 10 clear 20",
        "5 15 19 20",
        "firing firing firing resolved",
    );
    check(
        "> 90 clear 80 for 2m",
        "95 70 70 85 70 70 70",
        "firingx6 resolved",
    );
    // Clear for two minutes takes samples that say so.
    check(
        "> 90 clear for 5m",
        "95 10 _x4 10 10 10 10 10",
        "firingx9 resolved ok",
    );
}

#[test]
fn silence_of_the_host_is_neither_a_beginning_nor_an_end() {
    check(
        "> 90 for 2m",
        "95 95 95 .x30 95 10",
        "pending pending firing firingx30 firing resolved",
    );
    check(
        "> 90 for 2m no-data resolve",
        "95 95 95 .x30 10",
        "pending pending firingx31 resolved",
    );
    check("> 90 for 2m no-data alert", "10 10 .x30 10", "okx33");
    // What was pending is forgotten when nothing of its window is left.
    check("> 90 for 5m", "95 95 .x8 95", "pendingx7 okx3 pending");
    // A host that went silent in the middle of a window does not fire from old samples.
    check("> 90 for 20m", "95x17 .x4", "pendingx21");
}

#[test]
fn a_series_without_data_is_what_its_rule_says() {
    check("> 90 no-data keep", "95 _x10 10", "firingx11 resolved");
    check(
        "> 90 no-data resolve",
        "95 _x10 95",
        "firingx3 gone okx7 firing",
    );
    check(
        "> 90 for 2m no-data alert",
        "10 _x5 10",
        "okx3 missingx1 firingx2 resolved",
    );
    check(
        "> 90 for 4m no-data alert",
        "10 _x6 95",
        "okx5 missing firing firing",
    );
    // What vanished a day ago does not come up again.
    check_every(
        3600,
        "> 90 no-data alert",
        "10 _x30",
        "okx3 missing firingx27",
    );
}

#[test]
fn an_absent_host_fires_once_it_is_down_or_as_long_as_asked() {
    // A minute's interval: late after 135 s, down after 300 s.
    check(
        "silent",
        "1 . . . . . . 1",
        "ok ok ok pending pending pending firing resolved",
    );
    check(
        "silent for 4m",
        "1 . . . . .",
        "ok ok ok pending firing firing",
    );
    check("silent for 10s", "1 . . . .", "ok ok ok firing firing");
    check("silent", ". . . . . . . .", "okx8");
    check(
        "silent clear for 2m",
        "1 .x6 1 1 1 1",
        "ok ok ok pendingx3 firing firing firing resolved ok",
    );
}

#[test]
fn drift_fires_from_when_it_began_and_is_over_only_when_that_is_known() {
    check("drift", "0 1 1 ? 0", "ok firing firing firing resolved");
    check(
        "drift for 2m",
        "0 0 2 2 2 0",
        "ok ok pending pending firing resolved",
    );
    check("drift clear for 1m", "0 1 0 0", "ok firing firing resolved");
}

#[test]
fn a_forecast_fires_before_the_bound_is_reached() {
    // 60 % and two points an hour: a hundred in twenty hours; then it stands still.
    let rising = (0..60).map(|minute| (60.0 + f64::from(minute) / 30.0).to_string());
    let text: Vec<String> = rising.collect();
    let expect = "okx55 firingx5";
    check(">= 100 within 24h", &text.join(" "), expect);
    check(">= 100 within 6h", &text.join(" "), "okx60");
    check(
        ">= 100 within 24h for 10m",
        &text.join(" "),
        "okx55 pendingx5",
    );
}

#[test]
fn while_nobody_listened_nothing_is_over_and_nothing_begins() {
    let rule = rule("silent");
    let mut heard = Heard {
        last_at: Some(1000),
        newest_at: Some(1000),
        interval_seconds: 60,
        listening_since: 5000,
    };
    let mut quiet = Watch::default();
    let mut firing = Watch::firing(1100, None);
    let mut check = |heard: &Heard, now, expect: (&str, &str)| {
        let said = [&mut quiet, &mut firing].map(|watch| {
            let outcome = step(&rule, watch, Readings::Silence, heard, now);
            word(outcome)
        });
        assert_eq!((said[0], said[1]), expect, "at {now}");
    };
    check(&heard, 5000, ("ok", "firing"));
    check(&heard, 5135, ("ok", "firing"));
    check(&heard, 5136, ("pending", "firing"));
    check(&heard, 5301, ("firing", "firing"));
    heard.last_at = Some(5010);
    check(&heard, 5060, ("ok", "resolved"));
}

#[test]
fn late_samples_never_fire_and_an_outcome_that_was_not_kept_comes_again() {
    let rule = rule("> 90 for 2m");
    let heard = |last_at| Heard {
        last_at: Some(last_at),
        newest_at: Some(last_at),
        interval_seconds: 60,
        listening_since: 0,
    };
    let backlog: Vec<_> = (0..10).map(|tick| (tick * 60, 95.0)).collect();
    let mut watch = Watch::default();
    let outcome = step(
        &rule,
        &mut watch,
        Readings::Samples(&backlog),
        &heard(3600),
        3600,
    );
    assert_eq!(outcome, Outcome::Quiet);
    let mut watch = Watch::default();
    for _ in 0..2 {
        let outcome = step(
            &rule,
            &mut watch,
            Readings::Samples(&backlog),
            &heard(540),
            540,
        );
        assert_eq!(word(outcome), "firing");
        assert!(!watch.is_firing());
    }
    let fires = Outcome::Fires {
        since: 0,
        reason: Reason::Condition,
    };
    watch.settle(fires, 540);
    assert_eq!((watch.is_firing(), watch.worst()), (true, Some(95.0)));
    let higher = [(600, 99.0), (660, 96.0)];
    step(
        &rule,
        &mut watch,
        Readings::Samples(&higher),
        &heard(660),
        660,
    );
    assert_eq!((watch.worst(), watch.value()), (Some(99.0), Some(96.0)));
}

#[test]
fn sentences() {
    let check = |words: &str, expect: &str| assert_eq!(rule(words).sentence(), expect);
    check("> 90 for 5m", "cpu_usage_percent is above 90 % for 5 min");
    check("<= 1.5", "cpu_usage_percent is at or below 1.5 %");
    check("silent for 90s", "The host is silent for 90 s");
    check(
        ">= 100 within 24h for 30m",
        "cpu_usage_percent will be at or above 100 % within 24 h for 30 min",
    );
    check("drift", "*/* differs from the baseline");
}

#[test]
fn a_slow_clock_is_no_lack_of_data() {
    // Half a minute's interval, and a clock that is 90 s slow: more than a late report.
    let check = |words: &str, samples: usize, expect: &str| {
        let rule = rule(words);
        let mut watch = Watch::default();
        let mut last = "";
        for tick in 0..samples as i64 {
            let at = tick * 30;
            let heard = Heard {
                last_at: Some(at + 90),
                newest_at: Some(at),
                interval_seconds: 30,
                listening_since: 0,
            };
            let outcome = step(
                &rule,
                &mut watch,
                Readings::Samples(&[(at, 95.0)]),
                &heard,
                at + 90,
            );
            watch.settle(outcome, at + 90);
            last = word(outcome);
        }
        assert_eq!(last, expect, "{words}");
    };
    check("> 90 for 10m", 19, "firing");
    check("> 99 no-data alert", 19, "ok");
}

mod restored {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: i64 = 30;

    /// What a rule says at each tick; `None` is a report without a sample. At `restart` everything but what is kept on
    /// disk is forgotten.
    fn said(words: &str, samples: &[Option<f64>], restart: Option<usize>) -> Vec<&'static str> {
        let rule = rule(words);
        let mut watch = Watch::default();
        let mut firing_since = None;
        let mut stored: Vec<(i64, f64)> = Vec::new();
        let mut said = Vec::new();
        for (tick, sample) in samples.iter().enumerate() {
            let now = tick as i64 * INTERVAL;
            if restart == Some(tick) {
                let from = now - rule.memory_seconds() - 2 * INTERVAL - 60;
                let seen: Vec<_> = stored
                    .iter()
                    .copied()
                    .filter(|(at, _)| *at >= firing_since.unwrap_or(from).min(from))
                    .collect();
                watch = firing_since
                    .map_or_else(Watch::default, |since| Watch::firing(since, watch.worst()));
                watch.replay(&rule, &seen, stored.last().copied(), INTERVAL);
            }
            let heard = Heard {
                last_at: Some(now),
                newest_at: Some(now),
                interval_seconds: INTERVAL,
                listening_since: 0,
            };
            let new: Vec<_> = sample.iter().map(|value| (now, *value)).collect();
            stored.extend(&new);
            let outcome = step(&rule, &mut watch, Readings::Samples(&new), &heard, now);
            watch.settle(outcome, now);
            match outcome {
                Outcome::Fires { .. } => firing_since = Some(now),
                Outcome::Resolves(_) => firing_since = None,
                _ => {}
            }
            said.push(word(outcome));
        }
        said
    }

    #[test]
    fn what_was_over_for_lack_of_data_does_not_come_back() {
        let samples: Vec<Option<f64>> = [(None, 3), (Some(95.0), 13), (None, 10), (Some(95.0), 4)]
            .iter()
            .flat_map(|(value, times)| vec![*value; *times])
            .collect();
        let words = "> 90 for 5m no-data resolve";
        let whole = said(words, &samples, None);
        assert!(whole.contains(&"gone"), "{whole:?}");
        for restart in 0..samples.len() {
            assert_eq!(said(words, &samples, Some(restart)), whole, "at {restart}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whatever the samples, a restart at any moment changes nothing of what is said after it.
        #[test]
        fn a_restart_changes_nothing(
            stretches in proptest::collection::vec((0_usize..4, 1_usize..14), 1..12),
            restart in 0_usize..100,
            words in proptest::sample::select(vec![
                "> 90", "> 90 for 1m", "> 90 for 5m", "> 90 for 5m clear 70", "> 90 for 1m clear 70 for 5m",
                "> 90 for 1m clear for 10m", "> 90 for 5m no-data resolve", "> 90 for 3m no-data alert",
            ]),
        ) {
            let samples: Vec<Option<f64>> = stretches
                .iter()
                .flat_map(|(kind, length)| vec![[None, Some(95.0), Some(80.0), Some(10.0)][*kind]; *length])
                .collect();
            let restart = restart % samples.len();
            prop_assert_eq!(said(words, &samples, Some(restart)), said(words, &samples, None), "{} at {}", words, restart);
        }
    }
}

#[test]
fn what_an_alert_says_of_itself() {
    use super::record::{Alert, EndReason, Telling};
    let check =
        |words: &str, value: Option<f64>, is_no_data, end: Option<EndReason>, expect: &str| {
            let rule = rule(words);
            let at = DateTime::UNIX_EPOCH;
            let alert = Alert {
                alert_id: Uuid::nil(),
                rule_id: Uuid::nil(),
                rule_name: String::new(),
                severity: rule.severity,
                host_id: Uuid::nil(),
                host_number: 1,
                host_name: "web-1".to_owned(),
                instance: Some("/var".to_owned()).filter(|_| rule.condition.threshold().is_some()),
                sentence: rule.sentence(),
                condition: rule.condition,
                pending_at: at,
                started_at: Some(at),
                ended_at: end.map(|_| at),
                end_reason: end,
                is_no_data,
                value: value.filter(|_| end.is_none()),
                worst_value: None,
                last_value: value.filter(|_| end.is_some()),
                acknowledgement: None,
                telling: Telling::default(),
            };
            assert_eq!(alert.told().summary, expect);
        };
    let (cleared, deleted) = (Some(EndReason::Cleared), Some(EndReason::RuleDeleted));
    check(
        "> 90",
        Some(97.256),
        false,
        None,
        "cpu_usage_percent of /var is 97.26 %",
    );
    check(
        "> 90",
        Some(12.0),
        false,
        cleared,
        "cpu_usage_percent of /var is 12 %",
    );
    check(
        "> 90",
        None,
        true,
        None,
        "There is no data of cpu_usage_percent of /var",
    );
    check(
        "> 90",
        Some(12.0),
        true,
        cleared,
        "cpu_usage_percent of /var is 12 %",
    );
    check(
        "silent",
        None,
        false,
        None,
        "web-1 has been silent since 1970-01-01 00:00:00 UTC",
    );
    check("silent", None, false, cleared, "web-1 reports again");
    check(
        "silent",
        None,
        false,
        deleted,
        "web-1 has been silent since 1970-01-01 00:00:00 UTC: the rule was removed",
    );
    check(
        "drift",
        Some(1.0),
        false,
        None,
        "1 item differs from the baseline",
    );
    check(
        "drift",
        Some(0.0),
        false,
        cleared,
        "The host is at its baseline",
    );
}

//! What an answer means for the session: points are done, kept or put aside, and tokens come and go.

use std::time::{Duration, Instant};

use infra_watch_client::types;

use super::{InFlight, Load, RENEW_AGAIN_SECONDS, Session, Submission};
use crate::push::api::Answer;
use crate::push::decide::{Action, Circumstances, Failure, PAUSE, decide};
use crate::push::outbox::Batch;
use crate::report::{Columns, Mention};
use crate::state::Token;

impl Session {
    /// What the call that was made came to.
    pub fn settle(&mut self, answer: Answer, now: i64, instant: Instant) {
        match (self.in_flight.take(), answer) {
            (Some(InFlight::Enroll), Answer::Token(answer)) => {
                self.settle_enrollment(answer, now, instant);
            }
            (Some(InFlight::Renew), Answer::Token(answer)) => self.settle_renewal(answer, now),
            (Some(InFlight::Submit(submission)), Answer::Report(Ok(outcome))) => {
                self.settle_success(&submission, outcome.as_ref(), now, instant);
            }
            (Some(InFlight::Submit(submission)), Answer::Report(Err(failure))) => {
                self.settle_failure(*submission, &failure, now, instant);
            }
            (in_flight, _) => self.in_flight = in_flight,
        }
        let lost = self.parts.outbox.take_lost();
        if lost > 0 {
            tracing::warn!(
                points = lost,
                "the oldest points were dropped: the backlog is full or too old"
            );
        }
    }

    fn settle_enrollment(
        &mut self,
        answer: Result<types::HostToken, Failure>,
        now: i64,
        instant: Instant,
    ) {
        match answer {
            Ok(token) => {
                tracing::info!(host_id = %token.host_id, "enrolled");
                self.keep_token(token, now);
                // Once, until a report was taken with the new token.
                self.may_enroll = false;
                self.succeed();
            }
            Err(failure) => {
                let circumstances = Circumstances {
                    points: 1,
                    compressed: false,
                    may_enroll: false,
                };
                match decide(&failure, circumstances) {
                    Action::Wait(at_least) => {
                        let wait = self.wait_for(at_least, instant);
                        warn_failure(
                            "enrolment failed",
                            &failure,
                            wait,
                            self.parts.outbox.backlog_points(),
                        );
                    }
                    _ => {
                        warn_failure(
                            "paused: the enrolment key is refused",
                            &failure,
                            PAUSE,
                            self.parts.outbox.backlog_points(),
                        );
                        self.pause(instant);
                    }
                }
            }
        }
    }

    fn settle_renewal(&mut self, answer: Result<types::HostToken, Failure>, now: i64) {
        match answer {
            Ok(token) => {
                tracing::info!(expires_at = %token.expires_at, "token renewed");
                self.keep_token(token, now);
            }
            Err(failure) => {
                self.renew_not_before = now.saturating_add(RENEW_AGAIN_SECONDS);
                let wait = Duration::from_secs(RENEW_AGAIN_SECONDS.unsigned_abs());
                warn_failure(
                    "token not renewed",
                    &failure,
                    wait,
                    self.parts.outbox.backlog_points(),
                );
            }
        }
    }

    fn settle_success(
        &mut self,
        submission: &Submission,
        outcome: Option<&types::ReportOutcome>,
        now: i64,
        instant: Instant,
    ) {
        if let Load::Points(batch) = &submission.load {
            self.finish(batch);
            self.points_first = false;
        }
        self.succeed();
        let told = outcome.map(|outcome| outcome.snapshot);
        let said = match submission.mention() {
            Mention::Nothing => "nothing",
            Mention::Hash(hash) => {
                self.delivery.settle(hash, false, told);
                "hash"
            }
            Mention::Whole(snapshot) => {
                self.delivery.settle(&snapshot.hash, true, told);
                "whole"
            }
        };
        self.may_enroll = self.parts.enrollment_key.is_some();
        if let Some(host) = &submission.with_host {
            self.known_host = Some((host.clone(), now));
        }
        let rejected = outcome.map_or(0, |outcome| outcome.rejected.len());
        tracing::info!(
            points = submission.load.points().len(),
            accepted = outcome.map_or(0, |outcome| outcome.accepted),
            duplicates = outcome.map_or(0, |outcome| outcome.duplicates),
            rejected,
            snapshot = said,
            bytes = submission.bytes,
            ms = milliseconds(instant.saturating_duration_since(submission.started)),
            backlog = self.parts.outbox.backlog_points(),
            "report sent"
        );
        if let Some(first) = outcome.and_then(|outcome| outcome.rejected.first()) {
            let reason: String = first
                .reason
                .chars()
                .filter(|character| !character.is_control())
                .collect();
            tracing::warn!(
                points = rejected,
                at = first.at,
                reason,
                "points were refused"
            );
        }
    }

    fn settle_failure(
        &mut self,
        submission: Submission,
        failure: &Failure,
        now: i64,
        instant: Instant,
    ) {
        let circumstances = Circumstances {
            points: submission.load.points().len(),
            compressed: submission.compressed,
            may_enroll: self.may_enroll,
        };
        let message = "report not sent";
        match decide(failure, circumstances) {
            Action::Wait(at_least) => {
                self.points_first = matches!(submission.load, Load::Snapshot(_));
                self.give_back(submission.load);
                let wait = self.wait_for(at_least, instant);
                warn_failure(message, failure, wait, self.parts.outbox.backlog_points());
            }
            Action::Halve => {
                warn_failure(
                    "report too big, sent again in halves",
                    failure,
                    Duration::ZERO,
                    0,
                );
                if let Load::Points(batch) = submission.load {
                    self.parts.outbox.halve(batch);
                }
            }
            Action::SendPlain => {
                warn_failure(
                    "compressed bodies are refused, sent again uncompressed",
                    failure,
                    Duration::ZERO,
                    0,
                );
                self.may_compress = false;
                self.give_back(submission.load);
            }
            Action::Enroll => {
                warn_failure(
                    "the token is refused, enrolling again",
                    failure,
                    Duration::ZERO,
                    0,
                );
                self.token = None;
                self.give_back(submission.load);
            }
            Action::Pause => {
                self.give_back(submission.load);
                warn_failure(
                    "paused: the token is refused",
                    failure,
                    PAUSE,
                    self.parts.outbox.backlog_points(),
                );
                self.pause(instant);
            }
            Action::PutAside => self.put_aside(&submission, failure, now),
        }
    }

    fn put_aside(&mut self, submission: &Submission, failure: &Failure, now: i64) {
        self.drop_load(&submission.load);
        self.succeed();
        let (status, reason) = match failure {
            Failure::Refused { status, reason, .. } => (*status, reason.as_str()),
            Failure::Unreachable { reason } => (0, reason.as_str()),
        };
        let (points, host) = (submission.load.points(), submission.with_host.as_ref());
        let sender = &self.parts.sender;
        let report = Columns::of(points)
            .and_then(|columns| sender.report(columns, host, submission.mention(), now));
        let written = match report {
            Ok(report) => self.dead_letters.put(now, status, reason, &report),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        };
        if let Err(error) = written {
            tracing::error!(%error, "a refused report could not be put aside");
        }
        let (points, refused_reports) = (points.len(), self.dead_letters.count());
        tracing::error!(
            points,
            status,
            reason,
            refused_reports,
            "report refused and put aside in dead-letters.jsonl"
        );
    }

    fn keep_token(&mut self, token: types::HostToken, now: i64) {
        let token = Token {
            server: self.parts.server.clone(),
            host_id: token.host_id,
            token: token.token,
            obtained_at: now,
            expires_at: token.expires_at.timestamp(),
        };
        if let Err(error) = self.parts.state.save_token(&token) {
            tracing::error!(%error, "the token cannot be kept: this host enrols again when the agent starts");
        }
        self.token = Some(token);
    }

    pub(super) fn finish(&mut self, batch: &Batch) {
        if let Err(error) = self.parts.outbox.finish(batch) {
            tracing::error!(%error, "the spool cannot be written: points may be sent twice, which is harmless");
        }
    }

    fn succeed(&mut self) {
        self.attempt = 0;
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn warn_failure(message: &str, failure: &Failure, wait: Duration, backlog: u64) {
    let (status, reason) = match failure {
        Failure::Unreachable { reason } => (None, reason),
        Failure::Refused { status, reason, .. } => (Some(*status), reason),
    };
    tracing::warn!(
        status,
        reason,
        wait_ms = milliseconds(wait),
        backlog,
        "{message}"
    );
}

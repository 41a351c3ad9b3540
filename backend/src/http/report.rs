//! Agents: enrolment, tokens, and reports in.

use std::sync::Arc;
use std::time::Instant;

use poem::web::Data;
use poem_openapi::OpenApi;
use uuid::Uuid;

use super::Tags;
use super::body::{Accepted, Created, JsonBody, Peer, Reply, ReportBody};
use super::guard::{Agent, Enrollment};
use super::problem::ApiError;
use crate::app::App;
use crate::domain::host::Host;
use crate::flows::enroll::{self, Enrolled, Introduction};
use crate::flows::ingest::{self, Ingested};
use crate::wire::credential::{Enroll, HostToken};
use crate::wire::report::{RejectedPoint, ReportOutcome, SnapshotOutcome};

/// Agents.
pub struct ReportApi;

#[OpenApi(tag = "Tags::Agents")]
impl ReportApi {
    /// Make a new agent known.
    ///
    /// The bearer is an enrolment key. The same install id enrols again as the same host, and its old tokens stop
    /// working.
    #[oai(path = "/agent/enroll", method = "post", operation_id = "enroll_agent")]
    async fn enroll_agent(
        &self,
        key: Enrollment,
        app: Data<&Arc<App>>,
        peer: Peer,
        body: JsonBody<Enroll>,
    ) -> Result<Created<HostToken>, ApiError> {
        let Enroll {
            install_id,
            machine_id,
            hostname,
            agent_version,
        } = body.0;
        let introduction = Introduction {
            install_id,
            machine_id: machine_id.0,
            hostname: hostname.0,
            agent_version: agent_version.0,
        };
        let enrolled =
            enroll::enroll(&app, key.0.key_id, introduction, &peer.0.to_string()).await?;
        Ok(Reply(host_token(enrolled)))
    }

    /// A fresh host token, a year long.
    ///
    /// The bearer is the agent's present token, which stays valid until the next renewal.
    #[oai(
        path = "/agent/token",
        method = "post",
        operation_id = "renew_agent_token"
    )]
    async fn renew_agent_token(
        &self,
        agent: Agent,
        app: Data<&Arc<App>>,
    ) -> Result<Reply<HostToken>, ApiError> {
        Ok(Reply(host_token(
            enroll::renew(&app, agent.0.host.host_id, agent.0.token_id).await?,
        )))
    }

    /// Send a report.
    ///
    /// The bearer is a host token. Answers only when everything it counts is on disk; sending a report again is safe.
    #[oai(
        path = "/agent/reports",
        method = "post",
        operation_id = "submit_report"
    )]
    async fn submit_report(
        &self,
        agent: Agent,
        app: Data<&Arc<App>>,
        body: ReportBody,
    ) -> Result<Accepted<ReportOutcome>, ApiError> {
        let host = &agent.0.host;
        let ReportBody { report, wire_bytes } = body;
        let (report_id, points) = report
            .as_ref()
            .map(|report| (report.report_id, report.points.len()))
            .unwrap_or_default();
        let received = Received {
            report_id,
            points,
            wire_bytes,
            started: Instant::now(),
        };
        let outcome = match report {
            Ok(report) => ingest::ingest(&app, host, report)
                .await
                .map_err(ApiError::from),
            Err(error) => Err(error),
        };
        settle(&app, host, received, outcome)
    }
}

/// What is known of a report before its outcome.
pub struct Received {
    /// Its name for logs; nil when it could not be read.
    pub report_id: Uuid,
    /// How many points it brought.
    pub points: usize,
    /// Bytes on the wire.
    pub wire_bytes: usize,
    /// When its ingest began.
    pub started: Instant,
}

impl Received {
    /// One whose body did not arrive.
    pub fn unread(started: Instant) -> Self {
        Self {
            report_id: Uuid::nil(),
            points: 0,
            wire_bytes: 0,
            started,
        }
    }
}

/// Counts a report, logs its outcome, and shapes the answer.
pub fn settle(
    app: &App,
    host: &Host,
    received: Received,
    outcome: Result<Ingested, ApiError>,
) -> Result<Accepted<ReportOutcome>, ApiError> {
    let Received {
        report_id,
        points,
        wire_bytes,
        started,
    } = received;
    let milliseconds = (started.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
    match outcome {
        Ok(ingested) => {
            ingest::count(app, &ingested);
            tracing::info!(
                host = host.name(), host_id = %host.host_id, %report_id, points,
                accepted = ingested.appended.accepted, duplicates = ingested.appended.duplicates,
                rejected = ingested.rejected.len(), bytes = wire_bytes, milliseconds, "report accepted"
            );
            Ok(Reply(shape(&ingested)))
        }
        Err(error) => {
            app.metrics.reports.with_label_values(&["refused"]).inc();
            tracing::warn!(
                host = host.name(), host_id = %host.host_id, %report_id, points, bytes = wire_bytes,
                milliseconds, reason = error.detail(), "report refused"
            );
            Err(error)
        }
    }
}

/// What was kept, in JSON.
pub fn shape(ingested: &Ingested) -> ReportOutcome {
    ReportOutcome {
        accepted: ingested.appended.accepted,
        duplicates: ingested.appended.duplicates,
        rejected: ingested
            .rejected
            .iter()
            .map(|rejected| RejectedPoint {
                at: rejected.at,
                reason: rejected.reason.to_owned(),
            })
            .collect(),
        snapshot: match ingested.snapshot {
            ingest::SnapshotOutcome::Stored => SnapshotOutcome::Stored,
            ingest::SnapshotOutcome::Unchanged => SnapshotOutcome::Unchanged,
            ingest::SnapshotOutcome::Wanted => SnapshotOutcome::Wanted,
            ingest::SnapshotOutcome::None => SnapshotOutcome::None,
        },
    }
}

/// A host's fresh token in JSON.
pub fn host_token(enrolled: Enrolled) -> HostToken {
    HostToken {
        host_id: enrolled.host_id,
        token: enrolled.token,
        expires_at: enrolled.kept.expires_at,
    }
}

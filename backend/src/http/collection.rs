//! How hosts are pulled: shaped for people, collected now, host keys confirmed.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use uuid::Uuid;

use super::Tags;
use super::body::{JsonBody, Reply};
use super::guard::Admin;
use super::host::shape_for_admin;
use super::problem::ApiError;
use super::report::shape as shape_outcome;
use crate::app::App;
use crate::domain::collection::{Jump, SshTarget, Step, Target};
use crate::domain::host::Host as DomainHost;
use crate::domain::role::Role;
use crate::flows::collect::{self, Outcome};
use crate::flows::collection::{self, CollectionFields, JumpFields, Way};
use crate::transport;
use crate::wire::collection::{
    Collection, CollectionJump, CollectionKind, CollectionSettings, CollectionTrace,
    CollectionTraceStep, ConfirmHostKey, JumpSettings, StepOutcome,
};
use crate::wire::host::Host;
use crate::wire::report::ReportOutcome;
use crate::wire::scalar::{Nullable, Number};

/// Pulling hosts.
pub struct CollectionApi;

#[OpenApi(tag = "Tags::Hosts")]
impl CollectionApi {
    /// Confirm the host key that a host without a known one offers; from then on no other is accepted.
    ///
    /// Least role: admin.
    #[oai(
        path = "/hosts/:host_id/host-key",
        method = "post",
        operation_id = "confirm_host_key"
    )]
    async fn confirm_host_key(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        body: JsonBody<ConfirmHostKey>,
    ) -> Result<Reply<Host>, ApiError> {
        let fingerprint = body.0.fingerprint.0;
        let host = collection::confirm_host_key(&app, &caller.0, host_id.0, fingerprint).await?;
        Ok(Reply(shape_for_admin(&app, &host)))
    }

    /// Collect a host now, whatever its back-off, or join a collection that runs; 502 says why there is no report.
    ///
    /// Least role: admin.
    #[oai(
        path = "/hosts/:host_id/collect",
        method = "post",
        operation_id = "collect_host"
    )]
    async fn collect_host(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
    ) -> Result<Reply<ReportOutcome>, ApiError> {
        let outcome = collect::collect_now(&app, &caller.0, host_id.0, true).await?;
        match &outcome.result {
            Ok(ingested) => Ok(Reply(shape_outcome(ingested))),
            Err(failure) => Err(ApiError::bad_gateway(&failure.reason)),
        }
    }

    /// Collect a host now over a new connection, and say how each step went.
    ///
    /// Least role: admin. A host that cannot be reached is an answer too, not an error.
    #[oai(
        path = "/hosts/:host_id/collect/trace",
        method = "post",
        operation_id = "trace_collection"
    )]
    async fn trace_collection(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
    ) -> Result<Reply<CollectionTrace>, ApiError> {
        let outcome = collect::collect_now(&app, &caller.0, host_id.0, false).await?;
        Ok(Reply(trace(&outcome)))
    }
}

/// Seconds, which their type bounds far below `u32::MAX`.
pub fn seconds<const MIN: i64, const MAX: i64>(
    seconds: crate::wire::scalar::Whole<MIN, MAX>,
) -> u32 {
    u32::try_from(seconds.0).unwrap_or(u32::MAX)
}

/// Settings in the words of the flow.
pub fn fields(settings: CollectionSettings) -> CollectionFields {
    CollectionFields {
        way: match settings.kind {
            CollectionKind::Push => Way::Push,
            CollectionKind::Http => Way::Http,
            CollectionKind::Ssh => Way::Ssh,
        },
        collected_by: settings.collected_by.map(Into::into),
        url: settings.url.map(|url| url.0),
        // As people copy it: with colons, in capitals.
        certificate_fingerprint: settings
            .certificate_fingerprint
            .map(|fingerprint| fingerprint.0.replace(':', "").to_ascii_lowercase()),
        token: settings.token.map(|token| token.0),
        address: settings.address.map(|address| address.0),
        port: settings.port.and_then(|port| u16::try_from(port.0).ok()),
        user: settings.user.map(|user| user.0),
        host_key: settings.host_key.map(|key| key.0),
        mode: settings.mode.map(Into::into),
        agent_path: settings.agent_path.map(|path| path.0),
        state_dir: settings.state_dir.map(|directory| directory.0),
        endpoint: settings.endpoint.map(|endpoint| endpoint.0),
        private_key: settings.private_key.map(|key| key.0),
        jump: settings.jump.map(jump_fields),
    }
}

fn jump_fields(settings: JumpSettings) -> JumpFields {
    JumpFields {
        address: settings.address.0,
        port: settings.port.and_then(|port| u16::try_from(port.0).ok()),
        user: settings.user.map(|user| user.0),
        host_key: settings.host_key.map(|key| key.0),
        private_key: settings.private_key.map(|key| key.0),
    }
}

fn trace(outcome: &Outcome) -> CollectionTrace {
    let milliseconds = |duration: std::time::Duration| {
        let tenths = (duration.as_secs_f64() * 10_000.0).round();
        Nullable(Some(Number(tenths / 10.0)))
    };
    let failure = outcome.result.as_ref().err();
    let steps = Step::ALL.into_iter().map(|step| {
        let passed = outcome.passed.iter().find(|passed| passed.step == step);
        match (passed, failure) {
            (_, Some(failure)) if failure.step == step => CollectionTraceStep {
                step: step.into(),
                outcome: StepOutcome::Failed,
                detail: failure.reason.clone(),
                milliseconds: milliseconds(outcome.last_step_took),
            },
            (_, Some(failure)) if failure.step < step => CollectionTraceStep {
                step: step.into(),
                outcome: StepOutcome::Skipped,
                detail: String::new(),
                milliseconds: Nullable(None),
            },
            (passed, _) => CollectionTraceStep {
                step: step.into(),
                outcome: StepOutcome::Passed,
                detail: passed.map_or_else(String::new, |passed| passed.detail.clone()),
                milliseconds: passed.map_or(Nullable(None), |passed| milliseconds(passed.duration)),
            },
        }
    });
    CollectionTrace {
        steps: steps.collect(),
        is_stored: failure.is_none(),
    }
}

/// How a host is collected and how that goes, as far as a role may see it.
pub fn shape(app: &App, host: &DomainHost, role: Role) -> Collection {
    let mut shaped = Collection {
        kind: match host.collection.as_ref().map(|known| &known.target) {
            None => CollectionKind::Push,
            Some(Target::Http(_)) => CollectionKind::Http,
            Some(Target::Ssh(_)) => CollectionKind::Ssh,
        },
        is_pushed: host.is_pushed(),
        interval_seconds: None,
        collected_by: None,
        url: None,
        certificate_fingerprint: None,
        address: None,
        port: None,
        user: None,
        host_key: None,
        mode: None,
        agent_path: None,
        state_dir: None,
        endpoint: None,
        has_private_key: None,
        jump: None,
        authorized_keys: None,
        last_attempt_at: None,
        last_success_at: None,
        duration_seconds: None,
        last_collector: None,
        failures: None,
        last_error: None,
        last_error_step: None,
        next_at: None,
        offered_host_key: None,
        offered_host_key_algorithm: None,
        is_offered_by_jump: None,
        changed_host_key: None,
    };
    let Some(collection) = host.collection.as_ref().filter(|_| role >= Role::Operator) else {
        return shaped;
    };
    shaped.interval_seconds = Some(collection.interval_seconds);
    shaped.collected_by = Some(collection.collected_by.into());
    match &collection.target {
        Target::Http(http) => {
            shaped.url = Some(http.url.clone());
            shaped
                .certificate_fingerprint
                .clone_from(&http.certificate_fingerprint);
        }
        Target::Ssh(ssh) => shape_ssh(app, &mut shaped, ssh, role),
    }
    shape_progress(app, &mut shaped, host);
    shaped
}

fn shape_ssh(app: &App, shaped: &mut Collection, ssh: &SshTarget, role: Role) {
    let public_key = |own: Option<&String>| match own {
        // It was checked when it was given.
        Some(key) => transport::check_private_key(key).ok(),
        None => app.transports.public_key(),
    };
    let is_admin = role >= Role::Admin;
    shaped.address = Some(ssh.address.clone());
    shaped.port = Some(ssh.port);
    shaped.user = Some(ssh.user.clone());
    shaped.host_key.clone_from(&ssh.host_key);
    shaped.mode = Some(ssh.mode.into());
    shaped.agent_path = Some(ssh.agent_path.clone());
    shaped.state_dir.clone_from(&ssh.state_dir);
    shaped.endpoint = Some(ssh.endpoint.clone());
    shaped.has_private_key = Some(ssh.private_key.is_some());
    shaped.authorized_keys = public_key(ssh.private_key.as_ref())
        .filter(|_| is_admin)
        .map(|key| ssh.authorized_keys_line(&key));
    shaped.jump = ssh.jump.as_ref().map(|jump| {
        let Jump {
            address,
            port,
            user,
            host_key,
            private_key,
        } = jump;
        CollectionJump {
            address: address.clone(),
            port: *port,
            user: user.clone(),
            host_key: host_key.clone(),
            has_private_key: private_key.is_some(),
            authorized_keys: public_key(private_key.as_ref())
                .filter(|_| is_admin)
                .map(|key| jump.authorized_keys_line(ssh, &key)),
        }
    });
}

fn shape_progress(app: &App, shaped: &mut Collection, host: &DomainHost) {
    let progress = app.collections.progress(host.host_id);
    shaped.last_attempt_at = progress.last_attempt_at;
    shaped.last_success_at = progress.last_success_at;
    shaped.duration_seconds = progress
        .last_took
        .map(|took| Number(took.num_milliseconds() as f64 / 1000.0));
    shaped.failures = Some(progress.failures);
    shaped.next_at = progress.next_at;
    if let Some(offered) = progress.offered_host_key() {
        shaped.offered_host_key = Some(offered.fingerprint.clone());
        shaped.offered_host_key_algorithm = Some(offered.algorithm.clone());
        shaped.is_offered_by_jump = Some(offered.is_jump);
    }
    shaped.last_collector = progress.collector;
    if let Some(failure) = progress.failure {
        if failure.is_changed_host_key() {
            shaped.changed_host_key = failure.host_key.map(|shown| shown.fingerprint);
        }
        shaped.last_error = Some(failure.reason);
        shaped.last_error_step = Some(failure.step.into());
    }
}

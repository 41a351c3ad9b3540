//! Hosts.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::body::{Created, JsonBody, NoContent, Reply};
use super::guard::{Admin, Viewer};
use super::paging::{decoded, page_limit};
use super::problem::ApiError;
use super::report::host_token;
use super::{Tags, collection};
use crate::app::App;
use crate::domain;
use crate::domain::alert::rule::Severity;
use crate::domain::role::Role;
use crate::flows::collection::{NewHost, create};
use crate::flows::host::HostPatch;
use crate::flows::{enroll, host, identity};
use crate::store::head::HostHead;
use crate::wire::credential::HostToken;
use crate::wire::host::{CreateHost, Host, HostStatus, UpdateHost};
use crate::wire::page::{Limit, Page};
use crate::wire::scalar::{Nullable, Number, plain_labels, wire_labels};

/// Hosts.
pub struct HostApi;

#[OpenApi(tag = "Tags::Hosts")]
impl HostApi {
    /// Hosts by name.
    ///
    /// Least role: viewer.
    #[oai(path = "/hosts", method = "get", operation_id = "list_hosts")]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a parameter of the document"
    )]
    async fn list_hosts(
        &self,
        caller: Viewer,
        app: Data<&Arc<App>>,
        /// Only hosts with this status.
        status: Query<Option<HostStatus>>,
        /// Only hosts with this label, as `name=value`; may repeat.
        label: Query<Option<Vec<String>>>,
        /// Only hosts with this text in their name, hostname, system or addresses.
        q: Query<Option<String>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<Host>>, ApiError> {
        let (now, role) = (app.clock.now(), caller.0.principal.role);
        let mut hosts = select(&app, &label.0.unwrap_or_default())?;
        let text = q.0.unwrap_or_default().to_lowercase();
        hosts.retain(|host| {
            contains(host, &text)
                && status
                    .0
                    .is_none_or(|status| HostStatus::from(status_of(&app, host, now)) == status)
        });
        hosts.sort_by_cached_key(|host| sort_key(host));
        if let Some(after) = decoded(cursor.0)? {
            hosts.retain(|host| sort_key(host) > after);
        }
        let limit = page_limit(limit.0);
        let firing = Firing::now(&app);
        Ok(Reply(Page::cut(
            hosts,
            limit,
            |host| sort_key(host),
            |host| shape(&app, &host, &firing, now, role),
        )))
    }

    /// Add a host to be pulled. Nothing is dialled yet; it is due at once.
    ///
    /// Least role: admin. Secrets are written, never read back.
    #[oai(path = "/hosts", method = "post", operation_id = "create_host")]
    async fn create_host(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        body: JsonBody<CreateHost>,
    ) -> Result<Created<Host>, ApiError> {
        let new = NewHost {
            name: body.0.name.0,
            labels: plain_labels(body.0.labels.unwrap_or_default()),
            interval_seconds: body.0.interval_seconds.map(collection::seconds),
            collection: collection::fields(body.0.collection),
        };
        let host = create(&app, &caller.0, new).await?;
        Ok(Reply(shape_for_admin(&app, &host)))
    }

    /// One host.
    ///
    /// Least role: viewer.
    #[oai(path = "/hosts/:host_id", method = "get", operation_id = "get_host")]
    async fn get_host(
        &self,
        caller: Viewer,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
    ) -> Result<Reply<Host>, ApiError> {
        Ok(Reply(shape(
            &app,
            &*find(&app, host_id.0)?,
            &Firing::now(&app),
            app.clock.now(),
            caller.0.principal.role,
        )))
    }

    /// Change a host's name, labels or collection; what is absent stays.
    ///
    /// Least role: admin.
    #[oai(
        path = "/hosts/:host_id",
        method = "patch",
        operation_id = "update_host"
    )]
    async fn update_host(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        body: JsonBody<UpdateHost>,
    ) -> Result<Reply<Host>, ApiError> {
        let UpdateHost {
            name,
            labels,
            interval_seconds,
            collection,
        } = body.0;
        let patch = HostPatch {
            name: name.map(|name| name.0),
            labels: labels.map(plain_labels),
            interval_seconds: interval_seconds.map(collection::seconds),
            collection: collection.map(collection::fields),
        };
        let host = host::update(&app, &caller.0, host_id.0, patch).await?;
        Ok(Reply(shape_for_admin(&app, &host)))
    }

    /// Remove a host with everything that is kept of it, and revoke its token.
    ///
    /// Least role: admin.
    #[oai(
        path = "/hosts/:host_id",
        method = "delete",
        operation_id = "delete_host"
    )]
    async fn delete_host(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        host::delete(&app, &caller.0, host_id.0).await?;
        Ok(NoContent::Done)
    }

    /// Revoke a host's tokens and issue a new one, shown this once.
    ///
    /// Least role: admin.
    #[oai(
        path = "/hosts/:host_id/token",
        method = "post",
        operation_id = "issue_host_token"
    )]
    async fn issue_host_token(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
    ) -> Result<Created<HostToken>, ApiError> {
        Ok(Reply(host_token(
            enroll::reissue(&app, &caller.0, host_id.0).await?,
        )))
    }

    /// Let a machine that is set aside be the host, in place of the one that was.
    ///
    /// Least role: admin.
    #[oai(
        path = "/hosts/:host_id/set-aside/:set_aside_id/accept",
        method = "post",
        operation_id = "accept_set_aside_machine"
    )]
    async fn accept_set_aside_machine(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        set_aside_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        identity::accept(&app, &caller.0, host_id.0, set_aside_id.0).await?;
        Ok(NoContent::Done)
    }

    /// Forget a machine that is set aside; if it still reports, it is seen again.
    ///
    /// Least role: admin.
    #[oai(
        path = "/hosts/:host_id/set-aside/:set_aside_id",
        method = "delete",
        operation_id = "forget_set_aside_machine"
    )]
    async fn forget_set_aside_machine(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        set_aside_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        identity::forget(&app, &caller.0, host_id.0, set_aside_id.0).await?;
        Ok(NoContent::Done)
    }
}

/// The host with this id.
pub fn find(app: &App, host_id: Uuid) -> Result<Arc<domain::host::Host>, ApiError> {
    app.store
        .state
        .hosts
        .get(host_id)
        .ok_or_else(|| ApiError::not_found("host"))
}

/// Hosts that have all these labels, given as `name=value`.
pub fn select(app: &App, labels: &[String]) -> Result<Vec<Arc<domain::host::Host>>, ApiError> {
    let wanted = labels
        .iter()
        .map(|label| {
            label
                .split_once('=')
                .ok_or_else(|| ApiError::invalid("label", "must be name=value"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut hosts = app.store.state.hosts.all();
    hosts.retain(|host| {
        wanted
            .iter()
            .all(|(name, value)| host.labels.get(*name).is_some_and(|has| has == value))
    });
    Ok(hosts)
}

/// Hosts are listed by name.
pub fn sort_key(host: &domain::host::Host) -> String {
    format!("{}\u{0}{}", host.name().to_lowercase(), host.host_id)
}

fn contains(host: &domain::host::Host, text: &str) -> bool {
    let facts = &host.facts;
    text.is_empty()
        || [host.name(), &facts.hostname, &facts.os]
            .iter()
            .any(|field| field.to_lowercase().contains(text))
        || facts
            .addresses
            .iter()
            .any(|address| address.to_lowercase().contains(text))
}

fn last_seen(head: &HostHead) -> Option<DateTime<Utc>> {
    head.last_received_at()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
}

fn status_of(app: &App, host: &domain::host::Host, now: DateTime<Utc>) -> domain::host::Status {
    let last_seen = app.store.series.with_head(host.number, last_seen);
    domain::host::status(host.interval_seconds, last_seen, app.listening_since, now)
}

/// A host as an admin sees it.
pub fn shape_for_admin(app: &App, host: &domain::host::Host) -> Host {
    let now = app.clock.now();
    shape(app, host, &Firing::now(app), now, Role::Admin)
}

/// How many alerts fire at each host, and how bad the worst is.
struct Firing(HashMap<Uuid, (u32, Severity)>);

impl Firing {
    fn now(app: &App) -> Self {
        let mut firing: HashMap<Uuid, (u32, Severity)> = HashMap::new();
        for alert in app.store.state.active_alerts.all() {
            let (count, worst) = firing.entry(alert.host_id).or_insert((0, alert.severity));
            *count += 1;
            *worst = alert.severity.max(*worst);
        }
        Self(firing)
    }

    fn at(&self, host_id: Uuid) -> (u32, Option<Severity>) {
        let found = self.0.get(&host_id).copied();
        found.map_or((0, None), |(count, worst)| (count, Some(worst)))
    }
}

fn shape(
    app: &App,
    host: &domain::host::Host,
    firing: &Firing,
    now: DateTime<Utc>,
    role: Role,
) -> Host {
    let (firing_alerts, worst) = firing.at(host.host_id);
    // A viewer sees that a host needs a look, and not why.
    let sees_configuration = role >= Role::Operator;
    app.store.series.with_head(host.number, |head| {
        let last_seen_at = last_seen(head);
        let status = domain::host::status(
            host.interval_seconds,
            last_seen_at,
            app.listening_since,
            now,
        );
        let snapshot_at = host.snapshot.as_ref().map(|snapshot| snapshot.confirmed_at);
        let is_stale = domain::host::is_snapshot_stale(
            host.snapshot_interval_seconds,
            snapshot_at,
            app.listening_since,
            now,
        );
        let stale_sections = domain::host::stale_sections(host, app.listening_since, now);
        let needs_look = is_stale || !stale_sections.is_empty() || !host.set_aside.is_empty();
        let latest = |metric| Nullable(greatest_latest(head, metric).map(Number));
        Host {
            host_id: host.host_id,
            name: host.name().to_owned(),
            labels: wire_labels(&host.labels),
            collection: collection::shape(app, host, role),
            os: host.facts.os.clone(),
            addresses: host.facts.addresses.clone(),
            status: status.into(),
            health: domain::host::health(status, worst, needs_look).into(),
            last_seen_at: last_seen_at.into(),
            snapshot_at: snapshot_at.into(),
            uptime_seconds: latest("uptime_seconds"),
            cpu_usage_percent: latest("cpu_usage_percent"),
            memory_usage_percent: latest("memory_usage_percent"),
            disk_usage_percent: latest("disk_usage_percent"),
            firing_alerts,
            hostname: host.facts.hostname.clone(),
            kernel: host.facts.kernel.clone(),
            architecture: host.facts.architecture.clone(),
            cpu_count: host.facts.cpu_count,
            memory_bytes: host.facts.memory_bytes,
            agent_version: host.agent_version.clone(),
            interval_seconds: host.interval_seconds,
            enrolled_at: host.enrolled_at,
            stale_sections: if sees_configuration {
                stale_sections
                    .iter()
                    .map(|stale| stale.section.clone())
                    .collect()
            } else {
                Vec::new()
            },
            set_aside: if sees_configuration {
                host.set_aside.iter().map(Into::into).collect()
            } else {
                Vec::new()
            },
        }
    })
}

/// The greatest of the latest values of a metric's instances: the fullest mount. An instance that fell silent while
/// others went on, an unmounted disk, no longer counts.
fn greatest_latest(head: &HostHead, metric: &str) -> Option<f64> {
    let latest = || {
        (0..)
            .zip(head.keys())
            .filter(|(_, key)| key.metric == metric)
            .filter_map(|(number, _)| head.latest(number))
    };
    let newest = latest().map(|(at, _)| at).max()?;
    latest()
        .filter(|(at, _)| *at == newest)
        .map(|(_, value)| value)
        .max_by(f64::total_cmp)
}

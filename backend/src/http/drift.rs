//! Drift, baselines and the rules that mark changes.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::Tags;
use super::body::{Created, LongJsonBody, NoContent, Reply};
use super::guard::{Admin, Operator};
use super::host::{find, select, sort_key};
use super::paging::{self, decoded, page_limit, parsed};
use super::problem::ApiError;
use crate::app::App;
use crate::domain::baseline::DriftItem;
use crate::domain::change::{self, Disposition};
use crate::domain::drift_rule::{self, DriftRule};
use crate::domain::host::{Host, is_configuration_stale};
use crate::domain::selector::Selector;
use crate::flows::FlowError;
use crate::flows::configuration::{self, Approved};
use crate::flows::drift::{self, NewDriftRule};
use crate::flows::query::off_thread;
use crate::store::baseline;
use crate::wire;
use crate::wire::drift::{
    Approval, ApproveDrift, ApproveHostDrift, Baseline, CreateDriftRule, Drift, DriftState,
    HostDriftState, items_into_domain,
};
use crate::wire::page::{Limit, Page};

/// Drift, baselines and rules.
pub struct DriftApi;

#[OpenApi(tag = "Tags::Configuration")]
impl DriftApi {
    /// What differs from a host's baseline now.
    ///
    /// Least role: operator. Empty may also mean that nothing is known: see `/drift/hosts`.
    #[oai(
        path = "/hosts/:host_id/drift",
        method = "get",
        operation_id = "list_host_drift"
    )]
    async fn list_host_drift(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<Drift>>, ApiError> {
        let host = find(&app, host_id.0)?;
        page(&app, vec![host], |_| true, limit.0, cursor.0).await
    }

    /// What differs from the baselines of the fleet now, by host.
    ///
    /// Least role: operator.
    #[oai(path = "/drift", method = "get", operation_id = "list_drift")]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a parameter of the document"
    )]
    async fn list_drift(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        /// Only items of this section.
        section: Query<Option<String>>,
        /// Only items of this key: a name (`openssl`), a whole key, or a pattern with `*` and `?`.
        key: Query<Option<String>>,
        /// Only hosts with this label, as `name=value`; may repeat.
        label: Query<Option<Vec<String>>>,
        /// Only items with this disposition.
        disposition: Query<Option<wire::change::Disposition>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<Drift>>, ApiError> {
        let mut hosts = select(&app, &label.0.unwrap_or_default())?;
        hosts.sort_by_cached_key(|host| sort_key(host));
        let is_wanted = move |item: &Drift| {
            section
                .0
                .as_ref()
                .is_none_or(|wanted| *wanted == item.section)
                && key
                    .0
                    .as_ref()
                    .is_none_or(|wanted| change::is_meant(&item.section, &item.key, wanted))
                && disposition
                    .0
                    .is_none_or(|wanted| wanted == item.disposition)
        };
        page(&app, hosts, is_wanted, limit.0, cursor.0).await
    }

    /// How each host stands to its baseline.
    ///
    /// Least role: operator. A host of which nothing, or only something old, is known is `unknown`, never at its baseline.
    #[oai(
        path = "/drift/hosts",
        method = "get",
        operation_id = "list_drift_states"
    )]
    async fn list_drift_states(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        /// Only hosts with this label, as `name=value`; may repeat.
        label: Query<Option<Vec<String>>>,
        /// Only hosts in this state.
        state: Query<Option<DriftState>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<HostDriftState>>, ApiError> {
        let mut hosts = select(&app, &label.0.unwrap_or_default())?;
        hosts.sort_by_cached_key(|host| sort_key(host));
        if let Some(after) = decoded(cursor.0)? {
            hosts.retain(|host| sort_key(host) > after);
        }
        let store = Arc::clone(&app);
        off_thread(&app, move || {
            let rules = store.store.state.drift_rules.all();
            let states = hosts
                .into_iter()
                .map(|host| {
                    let state = shape_state(&store, &rules, &host);
                    (host, state)
                })
                .filter(|(_, found)| state.0.is_none_or(|wanted| wanted == found.state));
            Ok(Reply(Page::cut(
                states,
                page_limit(limit.0),
                |(host, _)| sort_key(host),
                |(_, state)| state,
            )))
        })
        .await
    }

    /// Let a host's baseline take the current value of items, or of all that differ.
    ///
    /// Least role: admin.
    #[oai(
        path = "/hosts/:host_id/drift/approve",
        method = "post",
        operation_id = "approve_host_drift"
    )]
    async fn approve_host_drift(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        body: LongJsonBody<ApproveHostDrift>,
    ) -> Result<Reply<Approval>, ApiError> {
        let ApproveHostDrift { items, reason } = body.0;
        let items =
            items_into_domain(items).map_err(|reason| ApiError::invalid("items", reason))?;
        let actor = caller.0.actor();
        let approved =
            configuration::approve(&app, &actor, host_id.0, items.as_ref(), &reason.0).await?;
        Ok(Reply(shape_approval(approved)))
    }

    /// Let the baselines of hosts take the current value of items, or of all that differ.
    ///
    /// Least role: admin.
    #[oai(
        path = "/drift/approve",
        method = "post",
        operation_id = "approve_drift"
    )]
    async fn approve_drift(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        body: LongJsonBody<ApproveDrift>,
    ) -> Result<Reply<Approval>, ApiError> {
        let ApproveDrift {
            selector,
            items,
            reason,
        } = body.0;
        let selector = selector_into_domain(selector)?;
        let items =
            items_into_domain(items).map_err(|reason| ApiError::invalid("items", reason))?;
        let approved =
            drift::approve(&app, &caller.0, &selector, items.as_ref(), &reason.0).await?;
        Ok(Reply(shape_approval(approved)))
    }

    /// The history of a host's baseline, newest first.
    ///
    /// Least role: operator.
    #[oai(
        path = "/hosts/:host_id/baselines",
        method = "get",
        operation_id = "list_baselines"
    )]
    async fn list_baselines(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<Baseline>>, ApiError> {
        let host = find(&app, host_id.0)?;
        let before = parsed(cursor.0)?;
        let limit = page_limit(limit.0);
        let found = baseline::page(app.store.kv.as_ref(), host.number, before, limit + 1).await;
        Ok(Reply(Page::cut(
            found.map_err(FlowError::from)?,
            limit,
            |baseline| baseline.baseline_id.to_string(),
            Into::into,
        )))
    }

    /// Rules that mark changes, oldest first.
    ///
    /// Least role: admin.
    #[oai(
        path = "/drift-rules",
        method = "get",
        operation_id = "list_drift_rules"
    )]
    async fn list_drift_rules(
        &self,
        _caller: Admin,
        app: Data<&Arc<App>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<wire::drift::DriftRule>>, ApiError> {
        paging::by_id(
            app.store.state.drift_rules.all(),
            |rule| rule.rule_id,
            |rule| wire::drift::DriftRule::from(rule),
            limit.0,
            cursor.0,
        )
    }

    /// Make a rule: what it matches is ignored, or was expected. It marks, and never hides.
    ///
    /// Least role: admin.
    #[oai(
        path = "/drift-rules",
        method = "post",
        operation_id = "create_drift_rule"
    )]
    async fn create_drift_rule(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        body: LongJsonBody<CreateDriftRule>,
    ) -> Result<Created<wire::drift::DriftRule>, ApiError> {
        let CreateDriftRule {
            kind,
            section,
            key,
            selector,
            from,
            to,
            reason,
        } = body.0;
        let new = NewDriftRule {
            kind: kind.into(),
            section: section.0,
            key: key.0,
            selector: selector_into_domain(selector)?,
            from,
            to,
            reason: reason.0,
        };
        let rule = drift::create_rule(&app, &caller.0, new).await?;
        Ok(Reply(wire::drift::DriftRule::from(&rule)))
    }

    /// Remove a rule; what it marked while it was in force stays marked in the history of changes.
    ///
    /// Least role: admin.
    #[oai(
        path = "/drift-rules/:rule_id",
        method = "delete",
        operation_id = "delete_drift_rule"
    )]
    async fn delete_drift_rule(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        rule_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        drift::delete_rule(&app, &caller.0, rule_id.0).await?;
        Ok(NoContent::Done)
    }
}

/// Which hosts, in the words of the domain.
pub fn selector_into_domain(selector: Option<wire::drift::Selector>) -> Result<Selector, ApiError> {
    selector
        .unwrap_or_default()
        .into_domain()
        .map_err(|reason| ApiError::invalid("selector.host_ids", reason))
}

fn shape_approval(approved: Approved) -> Approval {
    Approval {
        hosts: approved.hosts as u64,
        items: approved.items as u64,
    }
}

/// One page of the drift of hosts, which are in the order of their names. A cursor names the last item: what drifts or
/// ceases to between two pages moves none of the others.
async fn page(
    app: &Arc<App>,
    mut hosts: Vec<Arc<Host>>,
    is_wanted: impl Fn(&Drift) -> bool + Send + 'static,
    limit: Option<Limit>,
    cursor: Option<String>,
) -> Result<Reply<Page<Drift>>, ApiError> {
    let key = |host: &Host, item: &Drift| {
        format!("{}\u{0}{}\u{0}{}", sort_key(host), item.section, item.key)
    };
    let after = decoded(cursor)?;
    if let Some(after) = &after {
        hosts.retain(|host| {
            let host = sort_key(host);
            after.starts_with(&host) || host > *after
        });
    }
    let store = Arc::clone(app);
    off_thread(app, move || {
        let rules = store.store.state.drift_rules.all();
        let items = hosts.into_iter().flat_map(|host| {
            let drift = store.store.state.drift.get(host.host_id);
            let items = drift.map_or_else(Vec::new, |drift| drift.items.clone());
            let rules = &rules;
            items
                .into_iter()
                .map(move |item| (Arc::clone(&host), shape(rules, &host, item)))
        });
        let items = items.filter(|(host, item)| {
            is_wanted(item) && after.as_ref().is_none_or(|after| key(host, item) > *after)
        });
        Ok(Reply(Page::cut(
            items,
            page_limit(limit),
            |(host, item)| key(host, item),
            |(_, item)| item,
        )))
    })
    .await
}

fn disposition_of(rules: &[Arc<DriftRule>], host: &Host, item: &DriftItem) -> Disposition {
    let rules = rules.iter().map(AsRef::as_ref);
    let change = &item.change;
    drift_rule::disposition(rules, host, &change.section, &change.key, item.changed_at)
}

fn shape(rules: &[Arc<DriftRule>], host: &Host, item: DriftItem) -> Drift {
    Drift {
        host_id: host.host_id,
        host_name: host.name().to_owned(),
        disposition: disposition_of(rules, host, &item).into(),
        section: item.change.section,
        key: item.change.key,
        kind: item.change.kind.into(),
        baseline: item.change.before.into(),
        current: item.change.after.into(),
        since: item.since,
        direction: item.change.direction.map(Into::into),
    }
}

fn shape_state(app: &App, rules: &[Arc<DriftRule>], host: &Host) -> HostDriftState {
    let now = app.clock.now();
    let known = host.snapshot.as_ref();
    let snapshot_at = known.map(|known| known.confirmed_at);
    let is_stale = is_configuration_stale(host, now);
    let drift = app.store.state.drift.get(host.host_id);
    let items = drift.as_ref().map_or(&[][..], |drift| &drift.items);
    let (mut drifted, mut expected, mut ignored) = (0, 0, 0);
    let mut first = None;
    for item in items {
        match disposition_of(rules, host, item) {
            Disposition::Drift => {
                drifted += 1;
                first = Some(first.map_or(item.since, |first| item.since.min(first)));
            }
            Disposition::Expected => expected += 1,
            Disposition::Ignored => ignored += 1,
        }
    }
    let state = if drifted > 0 {
        DriftState::Drifted
    } else if known.is_none() || is_stale {
        DriftState::Unknown
    } else {
        DriftState::AtBaseline
    };
    HostDriftState {
        host_id: host.host_id,
        host_name: host.name().to_owned(),
        state,
        drifted,
        expected,
        ignored,
        since: first.into(),
        baseline_at: host.baseline.as_ref().map(|baseline| baseline.at).into(),
        snapshot_at: snapshot_at.into(),
        is_stale,
    }
}

//! Alert rules and alerts.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi, ResponseContent};
use uuid::Uuid;

use super::Tags;
use super::body::{
    Created, Csv, Encoded, JsonBody, LongJsonBody, NoContent, Reply, csv_cell, wants_csv,
};
use super::change::shape_change_set;
use super::drift::selector_into_domain;
use super::guard::{Admin, Operator};
use super::paging::{self, page_limit, parsed};
use super::problem::ApiError;
use crate::app::App;
use crate::domain;
use crate::domain::alert::Phase;
use crate::domain::metric;
use crate::flows::alert::{self, Filter, Position};
use crate::flows::alert_rule::{self, NewAlertRule, RuleUpdate};
use crate::flows::preview;
use crate::wire::alert::{
    AcknowledgeAlert, Acknowledgement, Alert, AlertRule, AlertState, Condition, CreateAlertRule,
    Firing, Preview, Severity, UpdateAlertRule, repeat_interval, seconds,
};
use crate::wire::notification::{Notification, NotificationState, NotificationTransition};
use crate::wire::page::{Limit, Page};
use crate::wire::scalar::{Moment, Nullable, Number};

/// Alerts, as JSON or, when asked for, as CSV.
#[derive(ResponseContent)]
pub enum AlertsContent {
    /// One page.
    Json(Encoded<Page<Alert>>),
    /// A line for each alert of the page.
    Csv(Csv),
}

/// Alerts.
#[derive(ApiResponse)]
pub enum AlertsReply {
    /// Done.
    #[oai(status = 200)]
    Ok(AlertsContent),
}

/// Alert rules and alerts.
pub struct AlertApi;

#[OpenApi(tag = "Tags::Alerts")]
impl AlertApi {
    /// Alert rules, oldest first.
    ///
    /// Least role: operator.
    #[oai(
        path = "/alert-rules",
        method = "get",
        operation_id = "list_alert_rules"
    )]
    async fn list_alert_rules(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<AlertRule>>, ApiError> {
        let firing = firing_by_rule(&app);
        paging::by_id(
            app.store.state.alert_rules.all(),
            |rule| rule.rule_id,
            |rule| shape_rule(&firing, rule),
            limit.0,
            cursor.0,
        )
    }

    /// Make an alert rule.
    ///
    /// Least role: admin. It looks at what is stored already: what has breached for long enough fires at once.
    #[oai(
        path = "/alert-rules",
        method = "post",
        operation_id = "create_alert_rule"
    )]
    async fn create_alert_rule(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        body: LongJsonBody<CreateAlertRule>,
    ) -> Result<Created<AlertRule>, ApiError> {
        let rule = alert_rule::create(&app, &caller.0, new_rule(body.0)?).await?;
        Ok(Reply(shape_rule(&firing_by_rule(&app), &rule)))
    }

    /// When a rule that is not kept would have fired.
    ///
    /// Least role: admin. It is run over what is stored, just as it would be evaluated.
    #[oai(
        path = "/alert-rules/preview",
        method = "post",
        operation_id = "preview_alert_rule"
    )]
    async fn preview_alert_rule(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        /// First moment, inclusive: RFC 3339 or Unix seconds; an hour before `to` if absent.
        from: Query<Option<Moment>>,
        /// Last moment, exclusive; now if absent.
        to: Query<Option<Moment>>,
        body: LongJsonBody<CreateAlertRule>,
    ) -> Result<Reply<Preview>, ApiError> {
        let range = (from.0.map(|from| from.0), to.0.map(|to| to.0));
        let rule = alert_rule::draft(&app, new_rule(body.0)?, &caller.0.actor().name)?;
        Ok(Reply(shape_preview(preview::run(&app, rule, range).await?)))
    }

    /// One alert rule.
    ///
    /// Least role: operator.
    #[oai(
        path = "/alert-rules/:rule_id",
        method = "get",
        operation_id = "get_alert_rule"
    )]
    async fn get_alert_rule(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        rule_id: Path<Uuid>,
    ) -> Result<Reply<AlertRule>, ApiError> {
        let rule = app.store.state.alert_rules.get(rule_id.0);
        let rule = rule.ok_or_else(|| ApiError::not_found("rule"))?;
        Ok(Reply(shape_rule(&firing_by_rule(&app), &rule)))
    }

    /// Change an alert rule; what is absent stays. What fires goes on, or is over, as the changed rule says.
    ///
    /// Least role: admin.
    #[oai(
        path = "/alert-rules/:rule_id",
        method = "patch",
        operation_id = "update_alert_rule"
    )]
    async fn update_alert_rule(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        rule_id: Path<Uuid>,
        body: LongJsonBody<UpdateAlertRule>,
    ) -> Result<Reply<AlertRule>, ApiError> {
        let update = rule_update(body.0)?;
        let rule = alert_rule::update(&app, &caller.0, rule_id.0, update).await?;
        Ok(Reply(shape_rule(&firing_by_rule(&app), &rule)))
    }

    /// Remove an alert rule. What fires by it is over with the next evaluation, and stays in the log.
    ///
    /// Least role: admin.
    #[oai(
        path = "/alert-rules/:rule_id",
        method = "delete",
        operation_id = "delete_alert_rule"
    )]
    async fn delete_alert_rule(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        rule_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        alert_rule::delete(&app, &caller.0, rule_id.0).await?;
        Ok(NoContent::Done)
    }

    /// The log of alerts: what fires, what is pending, then what is over; the newest first in each.
    ///
    /// Least role: operator. `Accept: text/csv` gives CSV.
    #[oai(path = "/alerts", method = "get", operation_id = "list_alerts")]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a parameter of the document"
    )]
    async fn list_alerts(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        request: &Request,
        /// Only alerts that stand so.
        state: Query<Option<AlertState>>,
        /// Only alerts of this host.
        host_id: Query<Option<Uuid>>,
        /// Only alerts of this rule.
        rule_id: Query<Option<Uuid>>,
        /// Only alerts of this severity.
        severity: Query<Option<Severity>>,
        /// Only alerts that were pending or fired at this moment or later: RFC 3339 or Unix seconds.
        from: Query<Option<Moment>>,
        /// Only alerts that were pending or fired before this moment.
        to: Query<Option<Moment>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<AlertsReply, ApiError> {
        let after: Option<Position> = parsed(cursor.0)?;
        let filter = Filter {
            phase: state.0.map(|state| match state {
                AlertState::Pending => Phase::Pending,
                AlertState::Firing => Phase::Firing,
                AlertState::Resolved => Phase::Resolved,
            }),
            host_id: host_id.0,
            rule_id: rule_id.0,
            severity: severity.0.map(Into::into),
            from: from.0.map(|from| from.0),
            to: to.0.map(|to| to.0),
        };
        if filter
            .from
            .zip(filter.to)
            .is_some_and(|(from, to)| from >= to)
        {
            return Err(ApiError::invalid("to", "must be after from"));
        }
        let limit = page_limit(limit.0);
        let found = alert::list(&app, &filter, after, limit + 1).await?;
        let now = app.clock.now();
        let page = Page::cut(
            found,
            limit,
            |alert| Position::of(alert).to_string(),
            |alert| shape(&app, alert, now),
        );
        Ok(AlertsReply::Ok(if wants_csv(request) {
            AlertsContent::Csv(csv(&page.items)?)
        } else {
            AlertsContent::Json(Encoded::new(&page)?)
        }))
    }

    /// One alert, with its values, who was told, and what changed on the host in the 24 hours before.
    ///
    /// Least role: operator.
    #[oai(path = "/alerts/:alert_id", method = "get", operation_id = "get_alert")]
    async fn get_alert(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        alert_id: Path<Uuid>,
    ) -> Result<Reply<Alert>, ApiError> {
        details(&app, alert_id.0).await
    }

    /// Take an alert on: nobody is told of it again until it is over.
    ///
    /// Least role: operator.
    #[oai(
        path = "/alerts/:alert_id/acknowledge",
        method = "post",
        operation_id = "acknowledge_alert"
    )]
    async fn acknowledge_alert(
        &self,
        caller: Operator,
        app: Data<&Arc<App>>,
        alert_id: Path<Uuid>,
        body: JsonBody<AcknowledgeAlert>,
    ) -> Result<Reply<Alert>, ApiError> {
        alert::acknowledge(&app, &caller.0, alert_id.0, body.0.comment.0).await?;
        details(&app, alert_id.0).await
    }
}

async fn details(app: &App, alert_id: Uuid) -> Result<Reply<Alert>, ApiError> {
    let found = alert::one(app, alert_id).await?;
    let host = found.host;
    let changes = found.changes_before.into_iter().filter_map(|change_set| {
        let host = host.as_ref()?;
        Some(shape_change_set(host, change_set))
    });
    Ok(Reply(Alert {
        notifications: Some(found.notified.into_iter().map(shape_notified).collect()),
        changes_before: Some(changes.collect()),
        ..shape(app, found.alert, app.clock.now())
    }))
}

fn new_rule(body: CreateAlertRule) -> Result<NewAlertRule, ApiError> {
    let invalid = |(field, message)| ApiError::invalid(field, message);
    Ok(NewAlertRule {
        name: body.name.0,
        severity: body.severity.into(),
        enabled: body.enabled.unwrap_or(true),
        selector: selector_into_domain(body.selector)?,
        condition: body.condition.into_domain().map_err(invalid)?,
        for_seconds: seconds(body.for_seconds).unwrap_or_default(),
        clear_value: body.clear_value.map(|value| value.0),
        clear_for_seconds: seconds(body.clear_for_seconds).unwrap_or_default(),
        no_data: body.no_data.map(Into::into).unwrap_or_default(),
        repeat_interval_seconds: repeat_interval(body.repeat_interval_seconds)
            .map_err(invalid)?
            .flatten(),
        channels: body.channels.map(|ids| ids.0).unwrap_or_default(),
    })
}

fn rule_update(body: UpdateAlertRule) -> Result<RuleUpdate, ApiError> {
    let invalid = |(field, message)| ApiError::invalid(field, message);
    let condition = body.condition.map(Condition::into_domain);
    let selector = body.selector.map(|given| selector_into_domain(Some(given)));
    Ok(RuleUpdate {
        name: body.name.map(|name| name.0),
        severity: body.severity.map(Into::into),
        enabled: body.enabled,
        selector: selector.transpose()?,
        condition: condition.transpose().map_err(invalid)?,
        for_seconds: seconds(body.for_seconds),
        clear_value: body.clear_value.map(|value| value.0),
        clear_for_seconds: seconds(body.clear_for_seconds),
        no_data: body.no_data.map(Into::into),
        repeat_interval_seconds: repeat_interval(body.repeat_interval_seconds).map_err(invalid)?,
        channels: body.channels.map(|ids| ids.0),
    })
}

/// The rules of the alerts that fire.
fn firing_by_rule(app: &App) -> Vec<Uuid> {
    let firing = app.store.state.active_alerts.all();
    firing.iter().map(|alert| alert.rule_id).collect()
}

fn shape_rule(firing: &[Uuid], rule: &domain::alert::rule::AlertRule) -> AlertRule {
    let own = firing.iter().filter(|rule_id| **rule_id == rule.rule_id);
    AlertRule {
        rule_id: rule.rule_id,
        name: rule.name.clone(),
        severity: rule.severity.into(),
        enabled: rule.enabled,
        selector: (&rule.selector).into(),
        condition: (&rule.condition).into(),
        sentence: rule.sentence(),
        for_seconds: rule.for_seconds,
        clear_value: rule.clear_value.map(Number).into(),
        clear_for_seconds: rule.clear_for_seconds,
        no_data: rule.no_data.into(),
        repeat_interval_seconds: rule.repeat_interval_seconds.into(),
        channels: rule.channels.clone(),
        is_default: rule.is_default,
        firing_alerts: u32::try_from(own.count()).unwrap_or(u32::MAX),
        created_by: rule.created_by.clone(),
        created_at: rule.created_at,
        updated_at: rule.updated_at,
    }
}

fn shape_preview(found: preview::Preview) -> Preview {
    let firings = found.firings.into_iter().map(|firing| Firing {
        host_id: firing.host.host_id,
        host_name: firing.host.name().to_owned(),
        instance: firing.instance.into(),
        started_at: firing.started_at,
        ended_at: firing.ended_at.into(),
    });
    Preview {
        firings: firings.collect(),
        firing_count: found.firing_count as u64,
        host_count: found.host_count as u64,
    }
}

fn shape(app: &App, alert: domain::alert::Alert, now: DateTime<Utc>) -> Alert {
    let host = app.store.state.hosts.get(alert.host_id);
    let is_silenced = host.is_some_and(|host| {
        let covers =
            |silence: &domain::alert::silence::Silence| silence.covers(alert.rule_id, &host, now);
        alert.ended_at.is_none() && app.store.state.silences.find(covers).is_some()
    });
    let unit = alert
        .condition
        .threshold()
        .map(|threshold| metric::unit(&threshold.metric).to_owned());
    Alert {
        alert_id: alert.alert_id,
        state: alert.phase().into(),
        summary: alert.summary(),
        condition: (&alert.condition).into(),
        rule_id: alert.rule_id,
        rule_name: alert.rule_name,
        severity: alert.severity.into(),
        host_id: alert.host_id,
        host_name: alert.host_name,
        instance: alert.instance.into(),
        sentence: alert.sentence,
        pending_at: alert.pending_at,
        started_at: alert.started_at.into(),
        ended_at: alert.ended_at.into(),
        end_reason: alert.end_reason.map(Into::into).into(),
        is_no_data: alert.is_no_data,
        value: alert.value.map(Number).into(),
        worst_value: alert.worst_value.map(Number).into(),
        latest_value: alert.last_value.map(Number).into(),
        unit: unit.into(),
        acknowledgement: Nullable(alert.acknowledgement.map(|known| Acknowledgement {
            by: known.by,
            at: known.at,
            comment: known.comment,
        })),
        is_silenced,
        notifications: None,
        changes_before: None,
    }
}

fn shape_notified(notified: domain::notification::Notified) -> Notification {
    use domain::notification::{NoticeState, Transition};
    Notification {
        channel_id: notified.channel_id,
        channel_name: notified.channel_name,
        transition: match notified.transition {
            Transition::Firing => NotificationTransition::Firing,
            Transition::Repeat(_) => NotificationTransition::Repeat,
            Transition::Resolved => NotificationTransition::Resolved,
        },
        state: match notified.state {
            NoticeState::Waiting => NotificationState::Waiting,
            NoticeState::Delivered => NotificationState::Delivered,
            NoticeState::HeldBack => NotificationState::HeldBack,
            NoticeState::Failed => NotificationState::Failed,
        },
        created_at: notified.created_at,
        ended_at: notified.ended_at.into(),
        attempts: notified.attempts,
        error: notified.error.into(),
    }
}

fn csv(alerts: &[Alert]) -> Result<Csv, ApiError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| {
        tracing::error!(%error, "writing CSV");
        ApiError::internal()
    };
    writer
        .write_record([
            "alert_id",
            "state",
            "severity",
            "rule",
            "host",
            "instance",
            "summary",
            "pending_at",
            "started_at",
            "ended_at",
            "end_reason",
            "value",
            "worst_value",
            "acknowledged_by",
            "acknowledged_at",
            "comment",
        ])
        .map_err(failed)?;
    let word = |value: serde_json::Result<serde_json::Value>| {
        let text = value
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned));
        text.unwrap_or_default()
    };
    let time = |at: Option<DateTime<Utc>>| at.map_or_else(String::new, |at| at.to_rfc3339());
    let number =
        |number: Option<Number>| number.map_or_else(String::new, |number| number.0.to_string());
    for alert in alerts {
        let acknowledgement = alert.acknowledgement.0.as_ref();
        let text = |text: Option<&String>| csv_cell(text.map_or("", |text| text));
        writer
            .write_record([
                alert.alert_id.to_string(),
                word(serde_json::to_value(alert.state)),
                word(serde_json::to_value(alert.severity)),
                csv_cell(&alert.rule_name),
                csv_cell(&alert.host_name),
                text(alert.instance.0.as_ref()),
                csv_cell(&alert.summary),
                time(Some(alert.pending_at)),
                time(alert.started_at.0),
                time(alert.ended_at.0),
                word(serde_json::to_value(alert.end_reason.0)),
                number(alert.value.0),
                number(alert.worst_value.0),
                text(acknowledgement.map(|known| &known.by)),
                time(acknowledgement.map(|known| known.at)),
                text(acknowledgement.map(|known| &known.comment)),
            ])
            .map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| {
        tracing::error!(%error, "writing CSV");
        ApiError::internal()
    })?;
    Ok(Csv(bytes))
}

//! The rules by which alerts fire.

use infra_watch_client::operations;
use infra_watch_client::types::{AlertRule, Channel, Host, Metric, Role, UpdateAlertRule};
use uuid::Uuid;
use yew::prelude::*;

use super::alert_rule::RuleEditor;
use super::section::{SectionPage, skeleton};
use crate::api::{Api, PAGE_ITEMS, use_role};
use crate::components::alert::severity_mark;
use crate::components::ask::Ask;
use crate::components::empty::empty;
use crate::components::go::{Address, link};
use crate::components::icon::Glyph;
use crate::format;
use crate::hooks::polled::use_polled;
use crate::hooks::query::use_query;
use crate::hooks::submit::use_submit;
use crate::route::Route;
use crate::whom::Whom;

/// The rules, and what they may name.
pub struct Known {
    /// The rules.
    pub rules: Vec<AlertRule>,
    /// The hosts that they may be for.
    pub hosts: Vec<Host>,
    /// Who may be told, for those who may know.
    pub channels: Vec<Channel>,
    /// The metrics that every agent measures.
    pub catalog: Vec<Metric>,
}

/// The list, or the rule that the address asks to edit.
#[component]
pub fn AlertRules() -> Html {
    let query = use_query();
    let is_admin = use_role() == Role::Admin;
    let known = use_polled(is_admin, None, |api, is_admin| {
        let rules = api.all(|cursor| {
            operations::list_alert_rules()
                .limit(PAGE_ITEMS)
                .cursor(cursor)
        });
        let hosts = api.all(|cursor| operations::list_hosts().limit(PAGE_ITEMS).cursor(cursor));
        let channels =
            api.all(|cursor| operations::list_channels().limit(PAGE_ITEMS).cursor(cursor));
        let catalog = api.ask(operations::list_metrics());
        Box::pin(async move {
            Ok(Known {
                rules: rules.await?,
                hosts: hosts.await?,
                channels: if is_admin {
                    channels.await?
                } else {
                    Vec::new()
                },
                catalog: catalog.await?.items,
            })
        })
    });
    let deleting = use_state(|| None::<(Uuid, String)>);
    let submit = use_submit();
    let edit = |id: String| Address::new(Route::AlertRules, [("edit", id)]);
    if let Some(id) = query.get("edit").filter(|_| is_admin) {
        let (id, retry) = (id.parse::<Uuid>().ok(), known.retry.clone());
        return html! {
            <SectionPage route={Route::AlertRules} about="What it says is tried over the past while it is edited.">
                { known.show(skeleton, |known| {
                    let place = known.rules.iter().position(|rule| Some(rule.rule_id) == id);
                    html! { <RuleEditor key={format!("{id:?}")} known={known.clone()} {place} on_done={retry} /> }
                }) }
            </SectionPage>
        };
    }
    let retry = &known.retry;
    let row = |rule: &AlertRule, known: &Known| {
        let rule_id = rule.rule_id;
        let firing = Address::new(
            Route::Alerts,
            [
                ("state", "firing".to_owned()),
                ("rule", rule_id.to_string()),
            ],
        );
        let delete = {
            let (deleting, name) = (deleting.clone(), rule.name.clone());
            move |_: MouseEvent| deleting.set(Some((rule_id, name.clone())))
        };
        let toggle = {
            let (submit, retry) = (submit.clone(), retry.clone());
            let body = UpdateAlertRule {
                enabled: Some(!rule.enabled),
                ..UpdateAlertRule::default()
            };
            move |_: MouseEvent| {
                let retry = retry.clone();
                submit.send(operations::update_alert_rule(rule_id, &body), move |_| {
                    retry.emit(());
                });
            }
        };
        let is_told = |channel: &&Channel| rule.channels.contains(&channel.channel_id);
        let told = known
            .channels
            .iter()
            .filter(is_told)
            .map(|channel| channel.name.as_str());
        let told: Vec<&str> = told.collect();
        let told = match (rule.channels.len(), told.is_empty()) {
            (0, _) => format::NOTHING.to_owned(),
            (count, true) => format::count(count, "channel"),
            _ => told.join(", "),
        };
        html! {
            <tr key={rule_id.as_u128()} data-rule={rule.name.clone()}>
                <th scope="row" class="rule-sentence">{ &rule.name }if rule.is_default { <span class="badge badge-ignored" title="It came with the product and was not edited since">{ "default" }</span> }<p class="meaning">{ &rule.sentence }</p></th>
                <td data-label="Severity">{ severity_mark(rule.severity) }</td>
                <td data-label="Where">{ Whom::of(&rule.selector, &known.hosts).words() }</td>
                <td data-label="Told">{ told }</td>
                <td data-label="Firing" class="number">{ if rule.firing_alerts > 0 { link(firing, "", html! { rule.firing_alerts }) } else { html! { <span class="muted">{ "0" }</span> } } }</td>
                <td data-label="Enabled">
                    if is_admin {
                        <button type="button" class="switch" role="switch" aria-checked={rule.enabled.to_string()} aria-label={format!("{} is evaluated", rule.name)} data-action="toggle" onclick={toggle}><span></span></button>
                    } else {
                        { if rule.enabled { "yes" } else { "no" } }
                    }
                </td>
                if is_admin {
                    <td class="row-actions">
                        { link(edit(rule_id.to_string()), "button", html! { <>{ "Edit" }<span class="visually-hidden">{ format!(" {}", rule.name) }</span></> }) }
                        <button type="button" class="button" data-action="delete" aria-label={format!("Delete {}", rule.name)} onclick={delete}>{ "Delete" }</button>
                    </td>
                }
            </tr>
        }
    };
    let create = is_admin.then_some(AttrValue::from("New rule"));
    let on_create = Callback::from(move |()| edit("new".to_owned()).go());
    html! {
        <SectionPage route={Route::AlertRules} about="When alerts fire, on which hosts, and who is told." {create} {on_create}>
            if let Some(error) = submit.whole(&[]) { <p class="form-error" role="alert">{ error }</p> }
            { known.show(skeleton, |known| if known.rules.is_empty() {
                html! { <div class="card">{ empty(Glyph::Bell, "There is no rule.", html! { <p class="muted">{ "Without one nothing fires, not even for a host that is down." }</p> }) }</div> }
            } else {
                html! {
                    <div class="card table-card">
                        <table class="table rules">
                            <caption class="visually-hidden">{ "Alert rules" }</caption>
                            <thead><tr>
                                <th scope="col">{ "Rule" }</th><th scope="col">{ "Severity" }</th><th scope="col">{ "Where" }</th><th scope="col">{ "Told" }</th>
                                <th scope="col" class="number">{ "Firing" }</th><th scope="col">{ "Enabled" }</th>
                                if is_admin { <th scope="col"><span class="visually-hidden">{ "Actions" }</span></th> }
                            </tr></thead>
                            <tbody>{ for known.rules.iter().map(|rule| row(rule, known)) }</tbody>
                        </table>
                    </div>
                }
            }) }
            if let Some((rule_id, name)) = (*deleting).clone() {
                { delete_rule(rule_id, name, &deleting, retry.clone()) }
            }
        </SectionPage>
    }
}

/// Asks for the name before the rule goes.
fn delete_rule(
    rule_id: Uuid,
    name: String,
    deleting: &UseStateHandle<Option<(Uuid, String)>>,
    on_done: Callback<()>,
) -> Html {
    let act = Callback::from(move |api: Api| api.ask(operations::delete_alert_rule(rule_id)));
    let deleting = deleting.clone();
    let on_close = Callback::from(move |()| deleting.set(None));
    html! {
        <Ask title={format!("Delete {name}?")} {name} action="Delete rule" {act} {on_close} {on_done} warning="What fires by it is over then; it stays in the log." />
    }
}

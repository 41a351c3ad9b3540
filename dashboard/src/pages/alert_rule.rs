//! One rule as it is edited: a sentence above its fields, and beside them when it would have fired.

use infra_watch_client::operations;
use infra_watch_client::types::{Channel, ConditionKind, NoData, Operator, Severity};
use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::alert_rules::Known;
use super::rule_preview::RulePreview;
use crate::alert::{Draft, update};
use crate::components::field::{TextField, select_field};
use crate::components::form::{Action, form};
use crate::components::go::Address;
use crate::components::whom::whom_fields;
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;
use crate::route::Route;

/// Fields beside which something may be wrong.
const SHOWN: [&str; 14] = [
    "name",
    "condition.metric",
    "condition.instance",
    "condition.value",
    "condition.within_seconds",
    "condition.section",
    "condition.key",
    "for_seconds",
    "clear_value",
    "clear_for_seconds",
    "repeat_interval_seconds",
    "selector",
    "severity",
    "channels",
];

#[derive(PartialEq, Properties)]
pub struct RuleEditorProps {
    /// What there is, and what a rule may name.
    pub known: Shared<Known>,
    /// Which of the rules; a new one without.
    pub place: Option<usize>,
    /// It is kept.
    pub on_done: Callback<()>,
}

/// The fields, and the preview beside them.
#[component]
pub fn RuleEditor(props: &RuleEditorProps) -> Html {
    let known = &props.known;
    let rule = props.place.and_then(|place| known.rules.get(place));
    let draft = use_state(|| rule.map_or_else(Draft::new, |rule| Draft::of(rule, &known.hosts)));
    let submit = use_submit();
    let set = {
        let draft = draft.clone();
        move |change: &dyn Fn(&mut Draft)| {
            let mut next = (*draft).clone();
            change(&mut next);
            draft.set(next);
        }
    };
    let take = |put: fn(&mut Draft, String)| {
        let set = set.clone();
        Callback::from(move |text: String| set(&|draft| put(draft, text.clone())))
    };
    let back = Callback::from(|()| Address::from(Route::AlertRules).go());
    let on_submit = {
        let (draft, submit, known) = (draft.clone(), submit.clone(), known.clone());
        let (back, on_done) = (back.clone(), props.on_done.clone());
        let rule_id = rule.map(|rule| rule.rule_id);
        Callback::from(move |()| {
            let (back, on_done) = (back.clone(), on_done.clone());
            let done = move |_| {
                on_done.emit(());
                back.emit(());
            };
            match (draft.body(&known.hosts), rule_id) {
                (Err(error), _) => submit.refuse(error),
                (Ok(body), None) => submit.send(operations::create_alert_rule(&body), done),
                (Ok(body), Some(rule_id)) => {
                    submit.send(operations::update_alert_rule(rule_id, &update(body)), done);
                }
            }
        })
    };
    let on_whom = {
        let set = set.clone();
        Callback::from(move |whom| set(&|draft| draft.whom = Clone::clone(&whom)))
    };
    let text = |id: &'static str,
                label: &'static str,
                value: &str,
                put,
                field,
                help: &'static str| {
        html! { <TextField {id} {label} value={value.to_owned()} on_input={take(put)} error={submit.field(field)} help={(!help.is_empty()).then(|| AttrValue::from(help))} /> }
    };
    let select = |id: &'static str,
                  label: &'static str,
                  value: String,
                  options: &[(&'static str, &'static str)],
                  put| {
        let options: Vec<_> = options
            .iter()
            .map(|(value, words)| ((*value).into(), (*words).into()))
            .collect();
        select_field(id.into(), label, &value, &options, take(put), None, None)
    };
    let unit = draft.unit(&known.catalog).unwrap_or_default();
    let has_metric = draft.has_metric();
    let action = if rule.is_some() {
        "Save rule"
    } else {
        "Create rule"
    };
    let channel = |channel: &Channel| {
        let (set, id) = (set.clone(), channel.channel_id);
        let onchange = move |event: Event| {
            let is_on = event
                .target_dyn_into::<HtmlInputElement>()
                .is_some_and(|input| input.checked());
            set(&|draft| {
                draft.channels.retain(|known| *known != id);
                if is_on {
                    draft.channels.push(id);
                }
            });
        };
        html! { <label class="check"><input type="checkbox" data-channel={channel.name.clone()} checked={draft.channels.contains(&id)} {onchange} />{ &channel.name }</label> }
    };
    let enabled = {
        let set = set.clone();
        move |_: Event| set(&|draft| draft.is_enabled = !draft.is_enabled)
    };
    html! {
            <div class="editor">
                <div class="card editor-form">
                    <p class="note rule-draft" aria-live="polite">{ draft.sentence(&known.catalog) }</p>
                    { form(Action::new(action), submit.is_busy(), submit.whole(&SHOWN), on_submit, Some(back), html! {
    <>
                        <TextField id="name" label="Name" value={draft.name.clone()} on_input={take(|draft, text| draft.name = text)} error={submit.field("name")} placeholder="CPU of web servers" help="The name of its alerts." autofocus={rule.is_none()} />
                        <div class="field-pair">
                            { select("kind", "What is watched", draft.kind.to_string(), &[("threshold", "a metric's values"), ("forecast", "where a metric leads to"), ("absence", "silence of the host"), ("drift", "drift from the baseline"), ("host_key", "the key of a host that is collected")], |draft, text| draft.kind = text.parse().unwrap_or(ConditionKind::Threshold)) }
                            { select("severity", "Severity", draft.severity.to_string(), &[("warning", "warning"), ("critical", "critical")], |draft, text| draft.severity = text.parse().unwrap_or(Severity::Warning)) }
                        </div>
                        if has_metric {
                            <div class="field-pair">
                                <TextField id="metric" label="Metric" value={draft.metric.clone()} on_input={take(|draft, text| draft.metric = text)} error={submit.field("condition.metric")} list="metrics" />
                                { text("instance", "Instance", &draft.instance, |draft, text| draft.instance = text, "condition.instance", "A mount, disk or interface; empty is each.") }
                            </div>
                            <datalist id="metrics">{ for known.catalog.iter().map(|metric| html! { <option value={metric.name.clone()}>{ &metric.description }</option> }) }</datalist>
                            <div class="field-pair">
                                { select("operator", "Is", draft.operator.to_string(), &[("gt", "above"), ("gte", "at or above"), ("lt", "below"), ("lte", "at or below")], |draft, text| draft.operator = text.parse().unwrap_or(Operator::Gt)) }
                                <TextField id="value" label={if unit.is_empty() { "Value".to_owned() } else { format!("Value in {unit}") }} value={draft.value.clone()} on_input={take(|draft, text| draft.value = text)} error={submit.field("condition.value")} />
                            </div>
                        }
                        if draft.kind == ConditionKind::Forecast {
                            { text("within", "Within", &draft.within, |draft, text| draft.within = text, "condition.within_seconds", "By the trend of the last six hours.") }
                        }
                        if draft.kind == ConditionKind::Drift {
                            <div class="field-pair">
                                { text("section", "Section", &draft.section, |draft, text| draft.section = text, "condition.section", "Empty is every section; * and ? are patterns.") }
                                { text("key", "Item", &draft.key, |draft, text| draft.key = text, "condition.key", "Empty is every item.") }
                            </div>
                        }
                        { text("for", "For", &draft.lasting, |draft, text| draft.lasting = text, "for_seconds", "How long it must hold: 90s, 5m, 2h; empty is at once.") }
                        { whom_fields(&draft.whom, on_whom, submit.field("selector")) }
                        if has_metric {
                            <div class="field-pair">
                                { text("clear", "Over when back behind", &draft.clear_value, |draft, text| draft.clear_value = text, "clear_value", "Empty is the value itself.") }
                                { text("clear_for", "For", &draft.clear_for, |draft, text| draft.clear_for = text, "clear_for_seconds", "Empty is at once.") }
                            </div>
                            { select("no_data", "Without data", draft.no_data.to_string(), &[("keep", "nothing changes"), ("resolve", "it is over"), ("alert", "it fires")], |draft, text| draft.no_data = text.parse().unwrap_or(NoData::Keep)) }
                        }
                        <fieldset class="checks">
                            <legend>{ "Who is told" }</legend>
                            if known.channels.is_empty() { <p class="field-help">{ "There is no channel yet: alerts are only shown here." }</p> }
                            { for known.channels.iter().map(channel) }
                            if let Some(error) = submit.field("channels") { <p class="field-error" role="alert">{ error }</p> }
                        </fieldset>
                        { text("repeat", "Tell again after", &draft.repeat, |draft, text| draft.repeat = text, "repeat_interval_seconds", "While it fires and nobody took it on; empty is never.") }
                        <label class="check"><input type="checkbox" id="enabled" checked={draft.is_enabled} onchange={enabled} />{ "It is evaluated" }</label>
                    </>
    }) }
                </div>
                <RulePreview known={known.clone()} draft={(*draft).clone()} />
            </div>
        }
}

//! One change, one line: key, before → after, direction, what it means; many of them folded.

use infra_watch_client::types::{Change, ChangeDirection, ChangeKind, Disposition};
use yew::prelude::*;

use super::capped::Capped;
use super::fold::Fold;
use crate::change::{both, groups, name, value};
use crate::loaded::Shared;

/// What is between two values, as a sign and as a word.
fn kind(kind: ChangeKind) -> (&'static str, &'static str) {
    match kind {
        ChangeKind::Added => ("+", "added"),
        ChangeKind::Removed => ("−", "removed"),
        ChangeKind::Changed => ("~", "changed"),
    }
}

/// An item's name, with the rest of its key behind it; the whole key on hover.
pub fn item_name(section: &str, key: &str) -> Html {
    let (name, rest) = name(section, key);
    html! {
        <span class="item-name" title={key.to_owned()}>{ name }if !rest.is_empty() { <span class="item-rest">{ rest }</span> }</span>
    }
}

/// A value on one line; all of it on hover.
pub fn item_value(text: &str) -> Html {
    short(text, value(text))
}

fn short(text: &str, words: String) -> Html {
    html! { <code class="item-value" title={text.to_owned()}>{ words }</code> }
}

/// Before → after.
pub fn values(change: &Change) -> Html {
    let values = match (change.before.as_deref(), change.after.as_deref()) {
        (Some(before), Some(after)) => {
            let (gone, new) = both(before, after);
            html! { <>{ short(before, gone) }<span class="change-arrow" aria-label="to">{ "→" }</span>{ short(after, new) }</> }
        }
        (before, after) => before.or(after).map_or_else(Html::default, item_value),
    };
    html! { <span class="change-values">{ values }</span> }
}

/// Which way a version went, or that an item is new or gone.
pub fn direction(change: &Change) -> Html {
    let (class, words) = match (change.direction, change.kind) {
        (Some(ChangeDirection::Upgrade), _) => ("direction", "↑ upgrade"),
        (Some(ChangeDirection::Downgrade), _) => ("direction direction-down", "↓ downgrade"),
        (None, ChangeKind::Changed) => return html! { <span class="direction"></span> },
        (None, other) => ("direction", kind(other).1),
    };
    html! { <span {class}>{ words }</span> }
}

/// Drift, expected or ignored.
pub fn disposition(disposition: Disposition) -> Html {
    let (class, title) = match disposition {
        Disposition::Drift => (
            "badge badge-drift",
            "No rule says that this was to be expected",
        ),
        Disposition::Expected => ("badge badge-expected", "A rule says that this was expected"),
        Disposition::Ignored => (
            "badge badge-ignored",
            "A rule says that this does not matter",
        ),
    };
    html! { <span {class} {title}>{ disposition.to_string() }</span> }
}

/// What happened to the item, as a sign.
pub fn change_sign(change: &Change) -> Html {
    let (sign, word) = kind(change.kind);
    html! { <span class="change-sign" title={word} aria-hidden="true">{ sign }</span> }
}

/// A change as a line of a list.
pub fn change_line(change: &Change, with_meaning: bool) -> Html {
    html! { <li class={classes!("change", format!("change-{}", kind(change.kind).1))}>{ change_parts(change, with_meaning) }</li> }
}

/// The parts of the line; without its meaning where that is the same for all.
pub fn change_parts(change: &Change, with_meaning: bool) -> Html {
    html! {
        <>
            { change_sign(change) }
            { item_name(&change.section, &change.key) }
            { values(change) }
            { direction(change) }
            if with_meaning { { disposition(change.disposition) } }
        </>
    }
}

#[derive(PartialEq, Properties)]
pub struct ChangeListProps {
    /// What is listed.
    pub changes: Shared<Vec<Change>>,
    /// Whether it is said what each means; differences between hosts mean nothing yet.
    #[prop_or(true)]
    pub with_meaning: bool,
}

/// The changes one a line; of many, those that are alike behind one line.
#[component]
pub fn ChangeList(props: &ChangeListProps) -> Html {
    let (changes, with_meaning) = (&props.changes, props.with_meaning);
    html! {
        <div class="change-list">
            { for groups(changes).into_iter().map(|group| match group.title {
                None => html! { <ul class="changes">{ for group.places.iter().map(|place| change_line(&changes[*place], with_meaning)) }</ul> },
                Some(title) => {
                    let (changes, places) = (changes.clone(), group.places);
                    let count = places.len();
                    let lines = Callback::from(move |shown| html! { <ul class="changes">{ for places[..shown].iter().map(|place| change_line(&changes[*place], with_meaning)) }</ul> });
                    let view = Callback::from(move |()| html! { <Capped {count} view={lines.clone()} /> });
                    html! { <Fold title={html! { <span>{ title }</span> }} {view} /> }
                }
            }) }
        </div>
    }
}

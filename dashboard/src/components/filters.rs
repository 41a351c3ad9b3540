//! Fields that narrow a list down; what is in them stands in the address.

use gloo_timers::callback::Timeout;
use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use crate::hooks::query::Query;

/// How long nothing is typed before the address follows, in milliseconds.
const STILL_MILLISECONDS: u32 = 200;

/// One of the fields.
#[derive(Clone, PartialEq)]
pub struct Filter {
    /// What it is called in the address.
    pub name: &'static str,
    /// What it is called.
    pub label: &'static str,
    /// What can be put there.
    pub kind: Kind,
}

/// What can be put into a field.
#[derive(Clone, PartialEq)]
pub enum Kind {
    /// Text, such as this.
    Text(&'static str),
    /// One of these: what stands in the address, and words.
    Choice(Vec<(AttrValue, AttrValue)>),
}

impl Filter {
    /// A field for text.
    pub fn text(name: &'static str, label: &'static str, example: &'static str) -> Self {
        Self {
            name,
            label,
            kind: Kind::Text(example),
        }
    }

    /// A choice; the first is what holds when nothing stands in the address.
    pub fn choice<T: Into<AttrValue>>(
        name: &'static str,
        label: &'static str,
        choices: impl IntoIterator<Item = (T, T)>,
    ) -> Self {
        let choices = choices
            .into_iter()
            .map(|(value, words)| (value.into(), words.into()));
        Self {
            name,
            label,
            kind: Kind::Choice(choices.collect()),
        }
    }

    /// A section of configurations, or all of them.
    pub fn section(first: (&'static str, &'static str)) -> Self {
        let others = crate::change::sections().filter(|section| *section != first.1);
        let choices = std::iter::once(first).chain(others.map(|section| (section, section)));
        Self::choice("section", "Section", choices)
    }
}

/// The labels that are typed, `name=value` and separated by commas; what is not whole yet is left out.
pub fn labels(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|label| {
            label
                .split_once('=')
                .is_some_and(|(name, _)| !name.is_empty())
        })
        .map(str::to_owned)
        .collect()
}

/// The fields in a row, and what else is to be in it.
pub fn filters(query: &Query, fields: &[Filter], more: Html) -> Html {
    html! {
        <div class="filters" role="search">
            { for fields.iter().map(|field| match &field.kind {
                Kind::Text(example) => html! { <TextFilter key={field.name} query={query.clone()} name={field.name} label={field.label} example={*example} /> },
                Kind::Choice(choices) => choice(query, field, choices),
            }) }
            { more }
        </div>
    }
}

fn choice(query: &Query, field: &Filter, choices: &[(AttrValue, AttrValue)]) -> Html {
    let (query, name) = (query.clone(), field.name);
    let held = query.get(name).unwrap_or_default().to_owned();
    let onchange = move |event: Event| {
        if let Some(select) = event.target_dyn_into::<HtmlSelectElement>() {
            query.replace([(name, Some(select.value()))]);
        }
    };
    html! {
        <label key={name} class="filter-field">
            <span>{ field.label }</span>
            <select data-filter={name} {onchange}>
                { for choices.iter().map(|(value, words)| html! { <option value={value.clone()} selected={**value == *held}>{ words }</option> }) }
            </select>
        </label>
    }
}

#[derive(PartialEq, Properties)]
struct TextFilterProps {
    query: Query,
    name: &'static str,
    label: &'static str,
    example: &'static str,
}

/// A field for text; the address follows when nothing more is typed.
#[component]
fn TextFilter(props: &TextFilterProps) -> Html {
    let typed = use_state(|| None::<String>);
    use_effect_with(((*typed).clone(), props.query.clone()), {
        let (typed, name) = (typed.setter(), props.name);
        move |(text, query)| {
            let timeout = text.clone().map(|text| {
                let query = query.clone();
                Timeout::new(STILL_MILLISECONDS, move || {
                    query.replace([(name, Some(text))]);
                    typed.set(None);
                })
            });
            move || drop(timeout)
        }
    });
    let oninput = {
        let typed = typed.clone();
        move |event: InputEvent| {
            if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
                typed.set(Some(input.value()));
            }
        }
    };
    let held = props.query.get(props.name).unwrap_or_default();
    let value = (*typed).clone().unwrap_or_else(|| held.to_owned());
    html! {
        <label class="filter-field">
            <span>{ props.label }</span>
            <input type="search" data-filter={props.name} {value} {oninput} placeholder={props.example} spellcheck="false" autocomplete="off" />
        </label>
    }
}

//! A host's labels: as chips, and as the text in which they are edited.

use std::collections::HashMap;
use std::ops::Deref;

use yew::prelude::*;

use crate::pairs::Pairs;

/// Labels by name.
pub fn sorted<V: Deref<Target = String>>(labels: &HashMap<String, V>) -> Pairs {
    let mut sorted = Pairs::new();
    for (name, value) in labels {
        sorted.insert((name.clone(), value.deref().clone()));
    }
    sorted
}

/// Labels as chips.
pub fn label_chips(labels: &Pairs) -> Html {
    html! {
        <span class="labels">
            { for labels.iter().map(|(name, value)| html! {
                <span class="label" title={format!("{name}={value}")}><span class="label-name">{ name }</span>{ value }</span>
            }) }
        </span>
    }
}

/// Labels as they are edited: `name=value`, separated by commas.
pub fn to_text(labels: &Pairs) -> String {
    labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Labels out of the edited text; a part without `=` is named in the error.
pub fn from_text(text: &str) -> Result<Pairs, String> {
    let mut labels = Pairs::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match part.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                labels.set(name.trim(), Some(value.trim().to_owned()));
            }
            _ => return Err(format!("“{part}” is not of the form name=value")),
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let check = |text, expect| {
            assert_eq!(
                from_text(text).map(|labels| to_text(&labels)).map_err(drop),
                expect
            );
        };
        check("", Ok(String::new()));
        check(
            " role = web ,env=prod,",
            Ok("env=prod, role=web".to_owned()),
        );
        check("query=a=b", Ok("query=a=b".to_owned()));
        check("role", Err(()));
        check("=web", Err(()));
    }
}

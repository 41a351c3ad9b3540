//! A host's labels: as chips, and as the text in which they are edited.

use std::collections::BTreeMap;

use yew::prelude::*;

/// Labels as chips.
pub fn label_chips(labels: &BTreeMap<String, String>) -> Html {
    html! {
        <span class="labels">
            { for labels.iter().map(|(name, value)| html! {
                <span class="label" title={format!("{name}={value}")}><span class="label-name">{ name }</span>{ value }</span>
            }) }
        </span>
    }
}

/// Labels as they are edited: `name=value`, separated by commas.
pub fn to_text(labels: &BTreeMap<String, String>) -> String {
    labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Labels out of the edited text; a part without `=` is named in the error.
pub fn from_text(text: &str) -> Result<BTreeMap<String, String>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(format!("“{part}” is not of the form name=value")),
        })
        .collect()
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

//! Whom something is for, as it is edited: all hosts, those with labels, or some by name. Pure.

use std::collections::HashMap;

use infra_watch_client::types::{Host, Selector, SelectorLabelsValue};
use uuid::Uuid;

use crate::api::ApiError;
use crate::components::labels;

/// All hosts, or which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Every host.
    All,
    /// Hosts that have some labels.
    Labels,
    /// Hosts by their names.
    Hosts,
}

impl Whose {
    /// What there is to choose from.
    pub const WORDS: [(Self, &str); 3] = [
        (Self::All, "all hosts"),
        (Self::Labels, "hosts with labels"),
        (Self::Hosts, "these hosts"),
    ];
}

/// Hosts, as they are edited.
#[derive(Clone, Debug, PartialEq)]
pub struct Whom {
    /// All hosts, or which.
    pub whose: Whose,
    /// Labels, or names of hosts.
    pub which: String,
}

impl Whom {
    /// Every host.
    pub fn all() -> Self {
        Self {
            whose: Whose::All,
            which: String::new(),
        }
    }

    /// A selector as it would have been edited.
    pub fn of(selector: &Selector, hosts: &[Host]) -> Self {
        let name = |id: &Uuid| {
            let host = hosts.iter().find(|host| host.host_id == *id);
            host.map_or("a host that is gone", |host| host.name.as_str())
        };
        let (whose, which) = match selector {
            Selector {
                labels: Some(labels),
                ..
            } if !labels.is_empty() => (Whose::Labels, labels::to_text(&labels::sorted(labels))),
            Selector {
                host_ids: Some(ids),
                ..
            } => (
                Whose::Hosts,
                ids.iter().map(name).collect::<Vec<_>>().join(", "),
            ),
            _ => return Self::all(),
        };
        Self { whose, which }
    }

    /// In words: "hosts with role=web".
    pub fn words(&self) -> String {
        let which = or(&self.which, "…");
        match self.whose {
            Whose::All => "all hosts".to_owned(),
            Whose::Labels => format!("hosts with {which}"),
            Whose::Hosts => which,
        }
    }

    /// The first of the hosts that it means.
    pub fn first(&self, hosts: &[Host]) -> Option<Uuid> {
        let selector = self.selector(hosts).ok()?;
        let is_meant = |host: &&Host| {
            let has = |(name, value): (&String, &SelectorLabelsValue)| {
                host.labels.get(name).is_some_and(|own| **own == **value)
            };
            let labels = selector.labels.as_ref();
            let ids = selector.host_ids.as_ref();
            labels.is_none_or(|labels| labels.iter().all(has))
                && ids.is_none_or(|ids| ids.contains(&host.host_id))
        };
        hosts.iter().find(is_meant).map(|host| host.host_id)
    }

    /// The selector, or what is wrong with it.
    pub fn selector(&self, hosts: &[Host]) -> Result<Selector, ApiError> {
        let wrong = |message: String| ApiError::field("selector", message);
        let mut selector = Selector::default();
        match self.whose {
            Whose::All => {}
            Whose::Labels => {
                let mut labels = HashMap::new();
                for (name, value) in labels::from_text(&self.which).map_err(wrong)? {
                    labels.insert(name, ApiError::checked("selector", &value)?);
                }
                if labels.is_empty() {
                    return Err(wrong("must not be empty".to_owned()));
                }
                selector.labels = Some(labels);
            }
            Whose::Hosts => {
                let names = self.which.split(',').map(str::trim);
                let find = |name: &str| {
                    let host = hosts.iter().find(|host| host.name == name);
                    host.map(|host| host.host_id)
                        .ok_or_else(|| wrong(format!("no host is called “{name}”")))
                };
                selector.host_ids = Some(names.map(find).collect::<Result<_, _>>()?);
            }
        }
        Ok(selector)
    }
}

/// What was typed, or what stands there while nothing is.
pub fn or(text: &str, otherwise: &str) -> String {
    let text = text.trim();
    if text.is_empty() { otherwise } else { text }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_what_is_wrong() {
        let check = |whose, which: &str, words, is_right: bool| {
            let whom = Whom {
                whose,
                which: which.to_owned(),
            };
            assert_eq!(whom.words(), words);
            let wrong = whom.selector(&[]).err();
            let field = wrong.map(|error| error.fields[0].name.clone());
            assert_eq!(field.as_deref(), (!is_right).then_some("selector"));
        };
        check(Whose::All, "", "all hosts", true);
        check(Whose::Labels, "role=web", "hosts with role=web", true);
        check(Whose::Labels, " ", "hosts with …", false);
        check(Whose::Labels, "role", "hosts with role", false);
        check(Whose::Hosts, "nobody", "nobody", false);
    }

    #[test]
    fn there_and_back() {
        let labels = Whom {
            whose: Whose::Labels,
            which: "env=prod, role=web".to_owned(),
        };
        let selector = labels.selector(&[]).unwrap();
        assert_eq!(Whom::of(&selector, &[]), labels);
        assert_eq!(Whom::of(&Selector::default(), &[]), Whom::all());
        let gone = Selector {
            host_ids: Some(vec![Uuid::nil()]),
            labels: None,
        };
        assert_eq!(Whom::of(&gone, &[]).words(), "a host that is gone");
    }
}

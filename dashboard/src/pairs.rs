//! Pairs of texts in their order, each once: labels, what stands in an address, items that are chosen. One plain list
//! for all of them, since the standard library's trees are much code.

/// The pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// No pair.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair, unless it is there.
    pub fn insert(&mut self, pair: (String, String)) {
        if let Err(place) = self.0.binary_search(&pair) {
            self.0.insert(place, pair);
        }
    }

    /// Takes a pair out.
    pub fn remove(&mut self, pair: &(String, String)) {
        if let Ok(place) = self.0.binary_search(pair) {
            self.0.remove(place);
        }
    }

    /// Whether a pair is there.
    pub fn contains(&self, pair: &(String, String)) -> bool {
        self.0.binary_search(pair).is_ok()
    }

    /// What stands beside a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Puts a value beside a name in place of the one that is there; nothing takes the name out.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        self.0.retain(|(known, _)| known != name);
        if let Some(value) = value {
            self.insert((name.to_owned(), value));
        }
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, (String, String)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Pairs {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_and_in_order() {
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut pairs = Pairs::new();
        for next in [("b", "2"), ("a", "1"), ("b", "1"), ("b", "2")] {
            pairs.insert(pair(next));
        }
        assert!(pairs.contains(&pair(("b", "1"))) && !pairs.contains(&pair(("a", "2"))));
        pairs.remove(&pair(("b", "1")));
        pairs.remove(&pair(("c", "1")));
        assert_eq!(
            pairs.iter().cloned().collect::<Vec<_>>(),
            [("a", "1"), ("b", "2")].map(pair)
        );
        assert_eq!((pairs.len(), pairs.is_empty()), (2, false));

        pairs.set("a", Some("9".to_owned()));
        pairs.set("b", None);
        pairs.set("c", None);
        assert_eq!(
            (pairs.get("a"), pairs.get("b"), pairs.len()),
            (Some("9"), None, 1)
        );
    }
}

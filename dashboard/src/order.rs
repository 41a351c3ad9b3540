//! Orders by places: sorting is code of its own for each kind of thing, and places are of one kind.

use std::cmp::Ordering;

/// Sorts places; what is equal stays as it was.
pub fn sort(places: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    places.sort_by(|a, b| compare(*a, *b));
}

/// The items in order.
pub fn sorted<T>(items: Vec<T>, compare: &dyn Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut places: Vec<usize> = (0..items.len()).collect();
    sort(&mut places, &|a, b| compare(&items[a], &items[b]));
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    places
        .into_iter()
        .filter_map(|place| items[place].take())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_moved_into_order() {
        let items = vec!["b2".to_owned(), "a".to_owned(), "b1".to_owned()];
        let sorted = sorted(items, &|a, b| a[..1].cmp(&b[..1]));
        assert_eq!(sorted, ["a", "b2", "b1"]);
    }
}

//! Pages of lists and the opaque cursor between them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem_openapi::Object;
use poem_openapi::types::{ParseFromJSON, ToJSON, Type};
use serde::{Deserialize, Serialize};

use super::scalar::{Nullable, Whole};

/// Items of a page when the caller names no limit.
pub const DEFAULT_LIMIT: i64 = 100;
/// `?limit=`: 1 to 1000.
pub type Limit = Whole<1, 1000>;

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Page<T: Type + ParseFromJSON + ToJSON> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Hand it back as `cursor` for the next page; `null` on the last.
    pub next_cursor: Nullable<String>,
}

impl<T: Type + ParseFromJSON + ToJSON> Page<T> {
    /// Cuts one page out of `items`, which begin after the cursor: one more than `limit` says that there is more.
    pub fn cut<I>(
        items: impl IntoIterator<Item = I>,
        limit: usize,
        key: impl Fn(&I) -> String,
        shape: impl Fn(I) -> T,
    ) -> Self {
        let mut items = items.into_iter();
        let page: Vec<I> = items.by_ref().take(limit).collect();
        let next = items
            .next()
            .and_then(|_| page.last().map(|last| encode_cursor(&key(last))));
        Self {
            items: page.into_iter().map(shape).collect(),
            next_cursor: Nullable(next),
        }
    }
}

/// A cursor that stands after the item with this key.
pub fn encode_cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key in a cursor, unless it is not one of ours.
pub fn decode_cursor(cursor: &str) -> Option<String> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_with_a_null_cursor() {
        let pages = |limit| {
            let (mut after, mut sizes) = (0, Vec::new());
            loop {
                let page =
                    Page::<u32>::cut((after + 1)..=5, limit, ToString::to_string, |item| item);
                sizes.push(page.items.len());
                let Some(cursor) = page.next_cursor.0 else {
                    return sizes;
                };
                after = decode_cursor(&cursor).unwrap().parse().unwrap();
            }
        };
        assert_eq!(pages(2), [2, 2, 1]);
        assert_eq!(pages(5), [5]);
        assert_eq!(decode_cursor("no cursor!"), None);
    }
}

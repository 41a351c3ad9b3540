//! Pages of lists: how long they are, and where they go on.

use std::str::FromStr;
use std::sync::Arc;

use poem_openapi::types::{ParseFromJSON, ToJSON, Type};
use uuid::Uuid;

use super::body::Reply;
use super::problem::ApiError;
use crate::wire::page::{DEFAULT_LIMIT, Limit, Page, decode_cursor};

/// The number of items that a page may have.
pub fn page_limit(limit: Option<Limit>) -> usize {
    usize::try_from(limit.map_or(DEFAULT_LIMIT, |limit| limit.0)).unwrap_or_default()
}

/// What a list says of a cursor that it did not give.
pub fn bad_cursor() -> ApiError {
    ApiError::invalid("cursor", "must be one that was given")
}

/// The key in a cursor.
pub fn decoded(cursor: Option<String>) -> Result<Option<String>, ApiError> {
    cursor
        .map(|cursor| decode_cursor(&cursor).ok_or_else(bad_cursor))
        .transpose()
}

/// The key in a cursor, as what it is.
pub fn parsed<T: FromStr>(cursor: Option<String>) -> Result<Option<T>, ApiError> {
    decoded(cursor)?
        .map(|text| text.parse().map_err(|_| bad_cursor()))
        .transpose()
}

/// One page of records that are kept in the order of their ids.
pub fn by_id<R, T: Type + ParseFromJSON + ToJSON>(
    records: Vec<Arc<R>>,
    id: impl Fn(&R) -> Uuid,
    shape: impl Fn(&R) -> T,
    limit: Option<Limit>,
    cursor: Option<String>,
) -> Result<Reply<Page<T>>, ApiError> {
    let after: Option<Uuid> = parsed(cursor)?;
    let rest = records
        .into_iter()
        .filter(|record| after.is_none_or(|after| id(record) > after));
    Ok(Reply(Page::cut(
        rest,
        page_limit(limit),
        |record| id(record).to_string(),
        |record| shape(&record),
    )))
}

//! What pages and components remember and listen to.

pub mod clock;
pub mod media;
pub mod paged;
pub mod place;
pub mod polled;
pub mod query;
pub mod rested;
pub mod rows;
pub mod shortcut;
pub mod submit;
pub mod theme;
pub mod width;

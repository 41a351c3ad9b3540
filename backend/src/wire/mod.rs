//! The JSON shapes of the published document, checked into and out of the domain.
//!
//! Each type says its limits once: the same definition refuses bad input and stands in the document.

pub mod alert;
pub mod audit;
pub mod change;
pub mod collection;
pub mod collector;
pub mod credential;
pub mod drift;
pub mod host;
pub mod inventory;
pub mod metric;
pub mod notification;
pub mod page;
pub mod parse;
pub mod report;
pub mod scalar;
pub mod session;
pub mod snapshot;
mod strict;
pub mod system;
pub mod user;

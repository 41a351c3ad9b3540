//! What the API of Infra-Watch says, generated from `openapi.json` at build time for native and wasm32.
//!
//! Everything that is said stands in [`types`]. `Client` has one method for each operation, named as its operation
//! id; [`operations`] are the same for who brings a transport, as the dashboard does, and needs no feature for it.

#[cfg(feature = "http")]
mod credentials;
pub mod number;
mod read;
mod request;
mod write;

#[cfg(feature = "http")]
pub use credentials::Credentials;
#[cfg(feature = "http")]
pub use generated::*;
pub use read::{Json, NotRead, Read, read};
pub use request::{Operation, Page, Request};
pub use write::Write;

#[expect(
    clippy::all,
    missing_docs,
    unused_qualifications,
    reason = "generated code is not written for our lints"
)]
pub mod types {
    //! The types of everything that is sent and answered.
    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}

#[expect(
    clippy::extra_unused_lifetimes,
    clippy::needless_lifetimes,
    reason = "generated code is not written for our lints"
)]
pub mod operations {
    //! One function for each operation of the document, named as its operation id. What must be given are arguments,
    //! what may be given are methods of what it returns.

    use crate::request::{Operation, Request};
    use crate::types;

    include!(concat!(env!("OUT_DIR"), "/operations.rs"));
}

#[cfg(feature = "http")]
#[expect(
    clippy::pedantic,
    clippy::unwrap_used,
    missing_docs,
    unused_qualifications,
    reason = "generated code is not written for our lints"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}

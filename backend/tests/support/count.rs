//! How much of a test that could go on for ever: little in CI, more when asked.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

/// The number in an environment variable, or else the one for CI.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no settings of its own"
)]
pub fn count(variable: &str, in_ci: usize) -> usize {
    std::env::var(variable).map_or(in_ci, |text| text.parse().unwrap())
}

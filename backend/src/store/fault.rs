//! Points at which a test can end the process at once, as a power cut would. Compiled into debug builds alone.

/// Passes a named point; ends the process there when a test asked for it.
#[cfg(not(debug_assertions))]
pub fn point(_name: &str) {}

#[cfg(debug_assertions)]
pub use self::armed::{arm, point};

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Where to end, and after how many passes.
    static ARMED: OnceLock<(String, AtomicU64)> = OnceLock::new();

    /// Ends the process when the point is passed for the `passes`th time. Only the first call counts.
    pub fn arm(name: &str, passes: u64) {
        ARMED.get_or_init(|| (name.to_owned(), AtomicU64::new(passes)));
    }

    /// Passes a named point; ends the process there when a test asked for it.
    pub fn point(name: &str) {
        if let Some((armed, left)) = ARMED.get()
            && armed == name
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            std::process::abort();
        }
    }
}

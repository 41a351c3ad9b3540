//! What is read of hosts, bounded: one report by its size, all that are under way by a budget.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::REPORT_BYTES;
use crate::domain::collection::{Failure, Step};

/// Bytes of reports that all visits together may hold while they read: sixteen of the largest.
const BUDGET_BYTES: usize = 16 * REPORT_BYTES;
/// How long a visit waits until others have read theirs.
const BUDGET_PATIENCE: Duration = Duration::from_secs(2);

/// What all visits together may hold.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes: Arc<Semaphore>,
    patience: Duration,
}

impl Budget {
    pub fn new() -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(BUDGET_BYTES)),
            patience: BUDGET_PATIENCE,
        }
    }

    /// For one report.
    pub fn intake(&self) -> Intake {
        Intake {
            budget: self.clone(),
            permit: None,
            bytes: BytesMut::new(),
        }
    }
}

/// One report that is being read. It holds its part of the budget until it is whole.
#[derive(Debug)]
pub struct Intake {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
    bytes: BytesMut,
}

impl Intake {
    /// Takes what came.
    ///
    /// # Errors
    /// When it is too much.
    pub async fn take(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        if chunk.is_empty() {
            return Ok(());
        }
        let too_large = || {
            let megabytes = REPORT_BYTES / 1024 / 1024;
            Failure::new(
                Step::Agent,
                format!("more than {megabytes} MiB came, which is no report"),
            )
        };
        if self.bytes.len() + chunk.len() > REPORT_BYTES {
            return Err(too_large());
        }
        let wanted = u32::try_from(chunk.len()).map_err(|_| too_large())?;
        let permit = Arc::clone(&self.budget.bytes).acquire_many_owned(wanted);
        // The semaphore is never closed: no permit means that the time is up.
        let Ok(Ok(permit)) = timeout(self.budget.patience, permit).await else {
            return Err(Failure::ours(
                Step::Agent,
                "too much is being read from other hosts at the moment",
            ));
        };
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    /// The whole of it.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn finish(self) -> Result<Bytes, Failure> {
        if self.bytes.is_empty() {
            return Err(Failure::new(
                Step::Agent,
                "nothing came, which is no report",
            ));
        }
        Ok(self.bytes.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_report_has_a_largest_size() {
        let budget = Budget::new();
        let mut intake = budget.intake();
        let chunk = vec![b' '; REPORT_BYTES / 2];
        intake.take(&chunk).await.unwrap();
        intake.take(&chunk).await.unwrap();
        let failure = intake.take(b"x").await.unwrap_err();
        assert_eq!(failure.reason, "more than 8 MiB came, which is no report");
        assert_eq!(intake.finish().unwrap().len(), REPORT_BYTES);
        assert!(budget.intake().finish().is_err());
    }

    #[tokio::test]
    async fn all_that_is_read_has_one() {
        let budget = Budget {
            patience: Duration::ZERO,
            ..Budget::new()
        };
        let chunk = vec![b' '; REPORT_BYTES];
        let mut held = Vec::new();
        for _ in 0..16 {
            let mut intake = budget.intake();
            intake.take(&chunk).await.unwrap();
            held.push(intake);
        }
        let mut last = budget.intake();
        let failure = last.take(b"x").await.unwrap_err();
        assert!(failure.reason.contains("other hosts"), "{}", failure.reason);
        held.pop();
        last.take(b"x").await.unwrap();
    }
}

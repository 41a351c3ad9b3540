//! Names into addresses that may be dialled: decided here, on what the resolver says at that moment.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::net::lookup_host;

use crate::domain::egress::{EgressRules, Purpose, Refusal};

/// Why there is nothing to dial.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EgressError {
    /// There are addresses, and none is permitted.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no address.
    #[error("the name {0} cannot be resolved")]
    Unresolved(String),
}

/// Resolves names to permitted addresses.
#[derive(Clone, Debug)]
pub struct Resolver {
    rules: Arc<EgressRules>,
    purpose: Purpose,
}

impl Resolver {
    /// A resolver that keeps to these rules.
    pub fn new(rules: EgressRules, purpose: Purpose) -> Self {
        Self {
            rules: Arc::new(rules),
            purpose,
        }
    }

    /// Judges an address that stands in a URL itself: HTTP clients dial it without asking a resolver.
    ///
    /// # Errors
    /// When it may not be dialled. A name is no error here.
    pub fn judge_literal(&self, host: &str) -> Result<(), EgressError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(address) => Ok(self.rules.permits(self.purpose, address)?),
            Err(_) => Ok(()),
        }
    }

    /// The addresses behind a name, or a literal, that may be dialled: at least one.
    ///
    /// # Errors
    /// When there is none.
    pub async fn permitted(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let unresolved = || EgressError::Unresolved(host.to_owned());
        let found = lookup_host((host, port)).await.map_err(|_| unresolved())?;
        let (mut permitted, mut refusal) = (Vec::new(), None);
        for address in found {
            match self.rules.permits(self.purpose, address.ip()) {
                Ok(()) => permitted.push(address),
                Err(refused) => refusal = Some(refused),
            }
        }
        if permitted.is_empty() {
            return Err(refusal.map_or_else(unresolved, EgressError::Refused));
        }
        Ok(permitted)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.permitted(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

//! Who may: each operation names its guard as its first argument, so that nothing is read before it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use poem::{Addr, Request};
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;
use uuid::Uuid;

use super::problem::ApiError;
use super::server::Connection;
use crate::app::App;
use crate::domain::credential::{CollectorToken, EnrollmentKey};
use crate::domain::host::Host;
use crate::domain::role::Role;
use crate::flows::{Caller, enroll};

/// Proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Whether this address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// A person's access token or an API token; each operation says its least role.
#[derive(SecurityScheme)]
#[oai(
    rename = "user",
    ty = "bearer",
    bearer_format = "JWT",
    checker = "viewer"
)]
pub struct Viewer(pub Caller);

/// A person or script with the role operator, or above it.
#[derive(SecurityScheme)]
#[oai(
    rename = "user",
    ty = "bearer",
    bearer_format = "JWT",
    checker = "operator"
)]
pub struct Operator(pub Caller);

/// A person or script with the role admin.
#[derive(SecurityScheme)]
#[oai(
    rename = "user",
    ty = "bearer",
    bearer_format = "JWT",
    checker = "admin"
)]
pub struct Admin(pub Caller);

/// An agent with its host token.
#[derive(SecurityScheme)]
#[oai(
    rename = "agent",
    ty = "bearer",
    bearer_format = "JWT",
    checker = "agent"
)]
pub struct Agent(pub Reporter);

/// A collector with its token.
#[derive(SecurityScheme)]
#[oai(
    rename = "collector",
    ty = "bearer",
    bearer_format = "JWT",
    checker = "collector"
)]
pub struct Collector(pub Arc<CollectorToken>);

/// An agent with an enrolment key.
#[derive(SecurityScheme)]
#[oai(rename = "enrollment_key", ty = "bearer", checker = "enrollment_key")]
pub struct Enrollment(pub Arc<EnrollmentKey>);

/// The host that reports, and the token it used.
pub struct Reporter {
    /// The host.
    pub host: Arc<Host>,
    /// The token's id.
    pub token_id: Uuid,
}

async fn viewer(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    user(request, &bearer, Role::Viewer)
}

async fn operator(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    user(request, &bearer, Role::Operator)
}

async fn admin(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    user(request, &bearer, Role::Admin)
}

/// The one place that decides whether a person or script may.
fn user(request: &Request, bearer: &Bearer, least: Role) -> poem::Result<Caller> {
    let app = app(request)?;
    let principal = app
        .tokens
        .user(&app.store, &bearer.token, app.clock.now())
        .ok_or_else(ApiError::unauthorized)?;
    authenticated(request);
    if principal.role < least {
        return Err(ApiError::forbidden().into());
    }
    Ok(Caller {
        principal,
        address: client_address(request),
    })
}

async fn agent(request: &Request, bearer: Bearer) -> poem::Result<Reporter> {
    let app = app(request)?;
    let reporter = app.tokens.host(&app.store, &bearer.token, app.clock.now());
    let (host, token_id) = reporter.ok_or_else(|| {
        tracing::warn!(address = %client_address(request), reason = "no valid host token", "report refused");
        ApiError::unauthorized()
    })?;
    authenticated(request);
    Ok(Reporter { host, token_id })
}

async fn collector(request: &Request, bearer: Bearer) -> poem::Result<Arc<CollectorToken>> {
    let app = app(request)?;
    let now = app.clock.now();
    let token = app.tokens.collector(&app.store, &bearer.token, now);
    let token = token.ok_or_else(ApiError::unauthorized)?;
    authenticated(request);
    Ok(token)
}

async fn enrollment_key(request: &Request, bearer: Bearer) -> poem::Result<Arc<EnrollmentKey>> {
    let key = enroll::find_key(app(request)?, &bearer.token).ok_or_else(ApiError::unauthorized)?;
    authenticated(request);
    Ok(key)
}

fn app(request: &Request) -> poem::Result<&Arc<App>> {
    request
        .data::<Arc<App>>()
        .ok_or_else(|| ApiError::internal().into())
}

/// Frees the connection's place among those that have not yet shown a valid token.
pub fn authenticated(request: &Request) {
    if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
        connection.authenticated();
    }
}

/// The address a request came from: the peer's, or behind a trusted proxy the last one in `X-Forwarded-For` that
/// is not a trusted proxy itself.
pub fn client_address(request: &Request) -> IpAddr {
    let peer = match &request.remote_addr().0 {
        Addr::SocketAddr(address) => address.ip().to_canonical(),
        _ => IpAddr::from([0, 0, 0, 0]),
    };
    match request.data::<TrustedProxies>() {
        Some(trusted) if trusted.contains(peer) => {
            let lines = request
                .headers()
                .get_all("x-forwarded-for")
                .iter()
                .filter_map(|value| value.to_str().ok());
            let chain: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
            forwarded(&chain, trusted).unwrap_or(peer)
        }
        _ => peer,
    }
}

fn forwarded(chain: &[&str], trusted: &TrustedProxies) -> Option<IpAddr> {
    let mut last = None;
    for entry in chain.iter().rev() {
        let Some(address) = parse_forwarded(entry.trim()) else {
            break;
        };
        last = Some(address.to_canonical());
        if !trusted.contains(address) {
            break;
        }
    }
    last
}

/// An address, as some proxies write it with the port.
fn parse_forwarded(entry: &str) -> Option<IpAddr> {
    let with_port = || {
        entry
            .parse::<std::net::SocketAddr>()
            .ok()
            .map(|address| address.ip())
    };
    entry.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let trusted = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let check = |chain: &[&str], expect: Option<&str>| {
            assert_eq!(
                forwarded(chain, &trusted),
                expect.map(|address| address.parse().unwrap()),
                "{chain:?}"
            );
        };
        check(&["203.0.113.9"], Some("203.0.113.9"));
        check(
            &["198.51.100.1", "203.0.113.9", "10.1.1.1"],
            Some("203.0.113.9"),
        );
        check(&["10.2.2.2", "10.1.1.1"], Some("10.2.2.2"));
        check(&["unknown", "10.1.1.1"], Some("10.1.1.1"));
        check(&["203.0.113.9:4711", "10.1.1.1"], Some("203.0.113.9"));
        check(&["nonsense"], None);
        check(&[], None);
    }
}

//! Every address of the dashboard.

use std::collections::HashMap;

use uuid::Uuid;
use yew_router::prelude::*;

/// A place one can be; filters, range and tab stand in its query.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// Every host at a glance.
    Overview,
    /// One host.
    Host {
        /// The host.
        host_id: Uuid,
    },
    /// What changed in the fleet.
    Changes,
    /// Who has what.
    Inventory,
    /// One configuration beside another, or a group of hosts.
    Compare,
    /// Who may log in.
    Users,
    /// With which agents join.
    EnrollmentKeys,
    /// Which changes are expected or ignored.
    DriftRules,
    /// Who did what.
    Audit,
    /// How the backend itself is doing.
    System,
    /// One's own tokens for programs.
    ApiTokens,
    /// The login form, for those who ask for it by name.
    Login,
    /// Anything else.
    NotFound,
}

/// The places with a path of their own, and what the browser's tab says there.
const PLACES: [(Route, &str, &str); 12] = [
    (Route::Overview, "/", "Overview"),
    (Route::Changes, "/changes", "Changes"),
    (Route::Inventory, "/inventory", "Inventory"),
    (Route::Compare, "/compare", "Compare"),
    (Route::Users, "/administration/users", "Users"),
    (
        Route::EnrollmentKeys,
        "/administration/enrollment-keys",
        "Enrolment keys",
    ),
    (
        Route::DriftRules,
        "/administration/drift-rules",
        "Drift rules",
    ),
    (Route::Audit, "/administration/audit", "Audit log"),
    (Route::System, "/administration/system", "System"),
    (Route::ApiTokens, "/api-tokens", "API tokens"),
    (Route::Login, "/login", "Log in"),
    (Route::NotFound, "/404", "Not found"),
];
/// Below it each host has its place.
const HOSTS: &str = "/hosts/";

impl Route {
    /// What the browser's tab says.
    pub fn title(&self) -> &'static str {
        let place = PLACES.iter().find(|(route, ..)| route == self);
        place.map_or("Host", |(.., title)| title)
    }
}

/// By hand: the derived one brings a matcher of patterns along, and one pattern is all there is.
impl Routable for Route {
    fn from_path(path: &str, _: &HashMap<&str, &str>) -> Option<Self> {
        Self::recognize(path)
    }

    fn to_path(&self) -> String {
        if let Self::Host { host_id } = self {
            return format!("{HOSTS}{host_id}");
        }
        let place = PLACES.iter().find(|(route, ..)| route == self);
        place.map_or("/", |(_, path, _)| path).to_owned()
    }

    fn routes() -> Vec<&'static str> {
        PLACES.iter().map(|(_, path, _)| *path).collect()
    }

    fn not_found_route() -> Option<Self> {
        Some(Self::NotFound)
    }

    fn recognize(path: &str) -> Option<Self> {
        if let Some(host_id) = path.strip_prefix(HOSTS) {
            let host_id = host_id.trim_end_matches('/').parse();
            return Some(host_id.map_or(Self::NotFound, |host_id| Self::Host { host_id }));
        }
        let meant = |known: &str| known.trim_end_matches('/') == path.trim_end_matches('/');
        let place = PLACES.iter().find(|(_, known, _)| meant(known));
        Some(place.map_or(Self::NotFound, |(route, ..)| route.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_again() {
        let host = Route::Host {
            host_id: Uuid::from_u128(7),
        };
        let places = PLACES.iter().map(|(route, ..)| route.clone());
        for route in places.chain([host]) {
            assert_eq!(Route::recognize(&route.to_path()), Some(route));
        }
        let check = |path, expect| assert_eq!(Route::recognize(path), Some(expect), "{path}");
        check("/changes/", Route::Changes);
        check("/hosts/nobody", Route::NotFound);
        check("/changes/more", Route::NotFound);
        check("", Route::Overview);
    }
}

//! Every address of the dashboard.

use uuid::Uuid;

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
    /// Where another host is added.
    AddHost,
    /// What changed in the fleet.
    Changes,
    /// Who has what.
    Inventory,
    /// One configuration beside another, or a group of hosts.
    Compare,
    /// What fires and what fired.
    Alerts,
    /// One alert.
    Alert {
        /// The alert.
        alert_id: Uuid,
    },
    /// When alerts fire.
    AlertRules,
    /// When nobody is told of them.
    Silences,
    /// How people are told of them.
    Channels,
    /// Who may log in.
    Users,
    /// With which agents join.
    EnrollmentKeys,
    /// With which collectors log in.
    CollectorTokens,
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
const PLACES: [(Route, &str, &str); 18] = [
    (Route::Overview, "/", "Overview"),
    (Route::AddHost, "/hosts/add", "Add a host"),
    (Route::Changes, "/changes", "Changes"),
    (Route::Inventory, "/inventory", "Inventory"),
    (Route::Compare, "/compare", "Compare"),
    (Route::Alerts, "/alerts", "Alerts"),
    (Route::AlertRules, "/alerts/rules", "Alert rules"),
    (Route::Silences, "/alerts/silences", "Silences"),
    (Route::Channels, "/alerts/channels", "Channels"),
    (Route::Users, "/administration/users", "Users"),
    (
        Route::EnrollmentKeys,
        "/administration/enrollment-keys",
        "Enrolment keys",
    ),
    (
        Route::CollectorTokens,
        "/administration/collector-tokens",
        "Collector tokens",
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
/// Below it each alert has its place, beside the pages of the section.
const ALERTS: &str = "/alerts/";

impl Route {
    /// What the browser's tab says.
    pub fn title(&self) -> &'static str {
        let place = PLACES.iter().find(|(route, ..)| route == self);
        let other = match self {
            Self::Alert { .. } => "Alert",
            _ => "Host",
        };
        place.map_or(other, |(.., title)| title)
    }

    /// The path of it.
    pub fn to_path(&self) -> String {
        let (below, id) = match self {
            Self::Host { host_id } => (HOSTS, host_id),
            Self::Alert { alert_id } => (ALERTS, alert_id),
            _ => {
                let place = PLACES.iter().find(|(route, ..)| route == self);
                return place.map_or("/", |(_, path, _)| path).to_owned();
            }
        };
        format!("{below}{id}")
    }

    /// What is at a path.
    pub fn at(path: &str) -> Self {
        let path = path.trim_end_matches('/');
        let meant = |known: &str| known.trim_end_matches('/') == path;
        let place = PLACES.iter().find(|(_, known, _)| meant(known));
        if let Some((route, ..)) = place {
            return route.clone();
        }
        let id = |below| path.strip_prefix(below)?.parse::<Uuid>().ok();
        let host = id(HOSTS).map(|host_id| Self::Host { host_id });
        let alert = || id(ALERTS).map(|alert_id| Self::Alert { alert_id });
        host.or_else(alert).unwrap_or(Self::NotFound)
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
        let alert = Route::Alert {
            alert_id: Uuid::from_u128(7),
        };
        for route in places.chain([host, alert]) {
            assert_eq!(Route::at(&route.to_path()), route);
        }
        let check = |path, expect| assert_eq!(Route::at(path), expect, "{path}");
        check("/changes/", Route::Changes);
        check("/hosts/nobody", Route::NotFound);
        check("/changes/more", Route::NotFound);
        check("/alerts/nothing", Route::NotFound);
        check("/alerts/rules/", Route::AlertRules);
        check("", Route::Overview);
    }
}

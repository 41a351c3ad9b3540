//! Every address of the dashboard.

use uuid::Uuid;
use yew_router::prelude::*;

/// A place one can be; filters, range and tab stand in its query.
#[derive(Clone, Debug, PartialEq, Routable)]
pub enum Route {
    /// Every host at a glance.
    #[at("/")]
    Overview,
    /// One host.
    #[at("/hosts/:host_id")]
    Host {
        /// The host.
        host_id: Uuid,
    },
    /// What changed in the fleet.
    #[at("/changes")]
    Changes,
    /// Who has what.
    #[at("/inventory")]
    Inventory,
    /// One configuration beside another, or a group of hosts.
    #[at("/compare")]
    Compare,
    /// Who may log in.
    #[at("/administration/users")]
    Users,
    /// With which agents join.
    #[at("/administration/enrollment-keys")]
    EnrollmentKeys,
    /// Which changes are expected or ignored.
    #[at("/administration/drift-rules")]
    DriftRules,
    /// Who did what.
    #[at("/administration/audit")]
    Audit,
    /// How the backend itself is doing.
    #[at("/administration/system")]
    System,
    /// One's own tokens for programs.
    #[at("/api-tokens")]
    ApiTokens,
    /// The login form, for those who ask for it by name.
    #[at("/login")]
    Login,
    /// Anything else.
    #[not_found]
    #[at("/404")]
    NotFound,
}

impl Route {
    /// What the browser's tab says.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Host { .. } => "Host",
            Self::Changes => "Changes",
            Self::Inventory => "Inventory",
            Self::Compare => "Compare",
            Self::Users => "Users",
            Self::EnrollmentKeys => "Enrolment keys",
            Self::DriftRules => "Drift rules",
            Self::Audit => "Audit log",
            Self::System => "System",
            Self::ApiTokens => "API tokens",
            Self::Login => "Log in",
            Self::NotFound => "Not found",
        }
    }
}

//! HTTP: the whole service on one page. Handlers parse, call one flow or read, and shape the answer.

mod alert;
mod assets;
mod audit;
mod backup;
mod body;
mod change;
mod collection;
mod collector;
mod configuration;
mod credential;
mod docs;
mod drift;
mod fast;
mod guard;
mod host;
mod hygiene;
mod inventory;
mod metric;
mod notification;
mod paging;
mod probe;
mod problem;
mod report;
pub mod server;
mod session;
mod stream;
mod system;
mod user;

use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::{EndpointExt, Response, Route, get};
use poem_openapi::OpenApiService;

use self::docs::Document;
pub use self::guard::TrustedProxies;
use self::hygiene::Hygiene;
use crate::app::App;

/// What the service needs to know beside the application.
#[derive(Clone, Debug, Default)]
pub struct HttpSettings {
    /// Cookies travel only over TLS.
    pub secure_cookies: bool,
    /// Answers ask browsers to stay with TLS.
    pub strict_transport: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
}

/// Groups of operations in the document.
#[derive(poem_openapi::Tags)]
enum Tags {
    /// Login, one's own account and API tokens.
    Sessions,
    /// Accounts.
    Users,
    /// Enrolment keys, enrolment and reports; collectors.
    Agents,
    /// Watched machines.
    Hosts,
    /// Measurements.
    Metrics,
    /// Snapshots, changes, drift and inventory.
    Configuration,
    /// Alert rules, alerts, silences and channels.
    Alerts,
    /// What admins look at.
    Administration,
}

type Api = (
    session::SessionApi,
    user::UserApi,
    credential::CredentialApi,
    report::ReportApi,
    host::HostApi,
    collection::CollectionApi,
    collector::CollectorApi,
    metric::MetricApi,
    configuration::ConfigurationApi,
    change::ChangeApi,
    drift::DriftApi,
    inventory::InventoryApi,
    alert::AlertApi,
    notification::NotificationApi,
    audit::AuditApi,
    // More than sixteen need a group of their own.
    (system::SystemApi, backup::BackupApi),
);

fn api() -> OpenApiService<Api, ()> {
    let apis = (
        session::SessionApi,
        user::UserApi,
        credential::CredentialApi,
        report::ReportApi,
        host::HostApi,
        collection::CollectionApi,
        collector::CollectorApi,
        metric::MetricApi,
        configuration::ConfigurationApi,
        change::ChangeApi,
        drift::DriftApi,
        inventory::InventoryApi,
        alert::AlertApi,
        notification::NotificationApi,
        audit::AuditApi,
        (system::SystemApi, backup::BackupApi),
    );
    OpenApiService::new(apis, "Infra-Watch", env!("CARGO_PKG_VERSION"))
        .description("Telemetry, configuration snapshots, drift and alerts of a fleet of machines.")
        .server("/api/v1")
}

/// The published document, pretty-printed: what `openapi/openapi.json` holds.
pub fn document() -> String {
    let spec = api().spec();
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&spec);
    let pretty = parsed.and_then(|mut document| {
        allow_null_where_optional(&mut document);
        serde_json::to_string_pretty(&document)
    });
    pretty.map_or(spec, |pretty| pretty + "\n")
}

/// A field of a body that may be absent may also be `null`, which means the same: the document says so.
fn allow_null_where_optional(document: &mut serde_json::Value) {
    use serde_json::{Value, json};
    let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for schema in schemas.values_mut() {
        let required: Vec<String> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            continue;
        };
        for (_, property) in properties
            .iter_mut()
            .filter(|(name, _)| !required.contains(name))
        {
            if let Some(reference) = property.get("$ref").cloned() {
                *property = json!({ "nullable": true, "allOf": [{ "$ref": reference }] });
            } else if let Some(property) = property.as_object_mut() {
                property.insert("nullable".to_owned(), Value::Bool(true));
            }
        }
    }
}

/// Everything that is answered.
pub fn service(app: Arc<App>, settings: HttpSettings) -> BoxEndpoint<'static, Response> {
    let document = Arc::new(Document::new(document()));
    let trusted_proxies = settings.trusted_proxies.clone();
    let settings = Arc::new(settings);
    let routes = Route::new()
        .nest("/api/v1", api())
        .at("/livez", get(probe::livez))
        .at("/readyz", get(probe::readyz))
        .at("/metrics", get(probe::metrics))
        .at("/openapi.json", get(docs::openapi_json))
        .at("/docs", get(docs::to_swagger))
        .at("/docs/*path", get(docs::swagger))
        .at("/*path", get(assets::dashboard))
        // Below the cookies, so that a refusal can set them too.
        .catch_all_error(|error| async { problem::from_error(error) })
        .with(poem::middleware::CookieJarManager::new())
        .data(Arc::clone(&app))
        .data(Arc::clone(&settings))
        .data(Arc::clone(&document))
        .data(trusted_proxies);
    Hygiene {
        inner: routes,
        app,
        settings,
        document,
    }
    .boxed()
}

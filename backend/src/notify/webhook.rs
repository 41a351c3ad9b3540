//! Webhooks: one POST, signed, to an address that was judged; its answer counts by its status alone.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use sha2::Sha256;

use super::{MAX_ANSWER_BYTES, Notifiers, NotifyError};
use crate::domain::notification::Webhook;
use crate::domain::snapshot::hex;
use crate::outgoing::{EgressError, Resolver, Roots, cause, causes};

/// Longest URL, in characters.
const MAX_URL_CHARS: usize = 2048;

/// Whether a webhook may have this URL.
///
/// # Errors
/// What is wrong with it, in words that follow its name.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    parse(url).map(|_| ())
}

fn parse(text: &str) -> Result<Url, &'static str> {
    if text.chars().count() > MAX_URL_CHARS {
        return Err("must have at most 2,048 characters");
    }
    // The parser would leave them out.
    if text.contains(|character: char| character.is_control() || character.is_whitespace()) {
        return Err("must not contain spaces or control characters");
    }
    let url = Url::parse(text).map_err(|_| "must be a URL such as https://example.org/hook")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("must have a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user or password");
    }
    if url.fragment().is_some() {
        return Err("must not contain a fragment");
    }
    Ok(url)
}

/// A client that dials what the resolver permits, and follows nobody.
///
/// # Errors
/// When it cannot be built.
pub(super) fn client(resolver: &Resolver, roots: &Roots) -> Result<Client, NotifyError> {
    Client::builder()
        .dns_resolver(resolver.clone())
        .tls_backend_preconfigured(roots.client_config()?)
        .redirect(Policy::none())
        .no_proxy()
        // Each message is a connection of its own, and each connection is judged.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("infra-watch/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(NotifyError::Client)
}

/// The signature: who knows the secret wrote this body at this moment.
fn signature(secret: &str, timestamp: i64, body: &[u8]) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    format!("sha256={}", hex(&mac.finalize().into_bytes()))
}

impl Notifiers {
    pub(super) async fn post(
        &self,
        webhook: &Webhook,
        key: &str,
        body: Vec<u8>,
        now: DateTime<Utc>,
    ) -> Result<(), NotifyError> {
        let url = parse(&webhook.url).map_err(NotifyError::Url)?;
        self.resolver
            .judge_literal(url.host_str().unwrap_or_default())?;
        let timestamp = now.timestamp();
        let signature = signature(&webhook.secret, timestamp, &body);
        let request = self
            .client
            .post(url)
            .timeout(self.webhook_patience)
            .header(CONTENT_TYPE, "application/json")
            .header("Infra-Watch-Timestamp", timestamp)
            .header("Infra-Watch-Signature", signature)
            .header("Idempotency-Key", key)
            .body(body);
        let response = request.send().await;
        // A URL may hold a token, and an error is shown to those who may not see the channel.
        let response = response.map_err(|error| self.failure(&error.without_url()))?;
        let status = response.status();
        drain(response).await;
        if status.is_success() {
            Ok(())
        } else {
            Err(NotifyError::Status(status.as_u16()))
        }
    }

    fn failure(&self, error: &reqwest::Error) -> NotifyError {
        let refusal = causes(error).find_map(|error| error.downcast_ref::<EgressError>());
        match refusal {
            Some(refusal) => refusal.clone().into(),
            None if error.is_timeout() => NotifyError::Timeout(self.webhook_patience),
            None => NotifyError::Connection {
                doing: if error.is_connect() {
                    "connecting"
                } else {
                    "waiting for an answer"
                },
                cause: cause(error),
            },
        }
    }
}

/// Reads what is left of an answer, so that the other side can end in peace. What it says, and how it ends, no longer
/// matters: the status was said.
async fn drain(mut response: Response) {
    let mut left_bytes = MAX_ANSWER_BYTES;
    while let Ok(Some(chunk)) = response.chunk().await {
        match left_bytes.checked_sub(chunk.len()) {
            Some(left) => left_bytes = left,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expect: Option<&str>| {
            let fault = check_url(url).err();
            assert_eq!(fault.is_some(), expect.is_some(), "{url}: {fault:?}");
            if let (Some(fault), Some(expect)) = (fault, expect) {
                assert!(fault.contains(expect), "{url}: {fault}");
            }
        };
        check("https://example.org", None);
        check("http://example.org:8080/hook?token=1", None);
        check("http://10.0.0.5/", None);
        check("http://[::1]:9000/", None);
        check(&format!("https://example.org/{}", "a".repeat(2028)), None);
        check(
            &format!("https://example.org/{}", "a".repeat(2029)),
            Some("2,048"),
        );
        check("", Some("a URL"));
        check("example.org", Some("a URL"));
        check("https://", Some("a URL"));
        check("ftp://example.org", Some("http://"));
        check("file:///etc/passwd", Some("http://"));
        check("https://user@example.org", Some("user"));
        check("https://:secret@example.org", Some("user"));
        check("https://example.org/#a", Some("fragment"));
        check("https://exa\nmple.org", Some("control"));
        check(" https://example.org", Some("spaces"));
    }

    #[test]
    fn a_signature_is_that_of_timestamp_and_body() {
        // printf '1800000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature("secret", 1_800_000_000, br#"{"a":1}"#),
            "sha256=440dfbb83aabca24d9e5027629cfd81cb45254690f8d410bb28f1cc17c990dbc"
        );
    }
}

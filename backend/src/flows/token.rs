//! Tokens: JWTs (RFC 7519, checked as RFC 8725 advises) for people, scripts and agents, and refresh cookies.
//!
//! Each kind has an audience and a `typ` of its own and is never taken for another. A token names what it stands
//! for; whether that still holds is looked up in memory at each request.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::Uuid;

use super::Principal;
use crate::domain::credential::{API_TOKEN_MAX_SECONDS, CollectorToken, HOST_TOKEN_SECONDS};
use crate::domain::host::Host;
use crate::domain::session::{ACCESS_TOKEN_SECONDS, Session};
use crate::store::Store;

/// Shortest signing key, in bytes: as long as the hash (RFC 7518, 3.2).
pub const SECRET_MIN_BYTES: usize = 32;
/// Longest token that is looked at, in bytes.
const TOKEN_MAX_BYTES: usize = 2048;
/// Difference of clocks that is forgiven, in seconds.
const LEEWAY_SECONDS: i64 = 5;
/// Tokens of which it is remembered that they are genuine, twice: more than a large fleet has, in 4 MiB.
const KNOWN_TOKENS: usize = 16_384;
const ISSUER: &str = "infra-watch";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person's session.
    Access,
    /// A script.
    Api,
    /// An agent.
    Host,
    /// A collector.
    Collector,
}

impl Kind {
    fn audience(self) -> &'static str {
        match self {
            Self::Access | Self::Api => "infra-watch:user",
            Self::Host => "infra-watch:agent",
            Self::Collector => "infra-watch:collector",
        }
    }

    fn typ(self) -> &'static str {
        match self {
            Self::Access => "infra-watch-access+jwt",
            Self::Api => "infra-watch-api+jwt",
            Self::Host => "infra-watch-host+jwt",
            Self::Collector => "infra-watch-collector+jwt",
        }
    }

    fn max_seconds(self) -> i64 {
        match self {
            Self::Access => ACCESS_TOKEN_SECONDS,
            Self::Api | Self::Collector => API_TOKEN_MAX_SECONDS,
            Self::Host => HOST_TOKEN_SECONDS,
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// The user, host or collector.
    pub sub: Uuid,
    /// The session or token that it stands for.
    pub jti: Uuid,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Not before, Unix seconds.
    pub nbf: i64,
    /// Ends, Unix seconds.
    pub exp: i64,
}

/// Why no token could be made.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The key is too short to sign with.
    #[error("the JWT secret must have at least {SECRET_MIN_BYTES} bytes")]
    ShortSecret,
    /// The token could not be signed.
    #[error("signing a token")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// What a genuine token says, once its signature was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it is for.
    pub kind: Kind,
    /// The user or host.
    pub sub: Uuid,
    /// The session, API token or host token that it stands for.
    pub jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Checked {
    /// Whether it holds at a moment, by its own words.
    fn is_current(&self, now: i64) -> bool {
        self.nbf <= now + LEEWAY_SECONDS
            && now < self.exp + LEEWAY_SECONDS
            && self.iat <= now + LEEWAY_SECONDS
            && self.exp - self.iat <= self.kind.max_seconds()
    }
}

/// Tokens whose signature was checked, by their SHA-256. Whether they still stand for something is asked each time, so
/// that a revoked one is refused at once; one that has ended leaves with its half.
#[derive(Default)]
struct Known {
    recent: HashMap<[u8; 32], Checked>,
    older: HashMap<[u8; 32], Checked>,
}

impl Known {
    fn get(&mut self, hash: &[u8; 32]) -> Option<Checked> {
        if let Some(checked) = self.recent.get(hash) {
            return Some(*checked);
        }
        let checked = self.older.remove(hash)?;
        self.put(*hash, checked);
        Some(checked)
    }

    fn put(&mut self, hash: [u8; 32], checked: Checked) {
        if self.recent.len() >= KNOWN_TOKENS {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(hash, checked);
    }
}

/// Makes and checks tokens with one secret.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    refresh_key: [u8; 32],
    known: Mutex<Known>,
}

impl Tokens {
    /// Signs with this secret.
    ///
    /// # Errors
    /// [`TokenError::ShortSecret`].
    pub fn new(secret: &[u8]) -> Result<Self, TokenError> {
        if secret.len() < SECRET_MIN_BYTES {
            return Err(TokenError::ShortSecret);
        }
        Ok(Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            refresh_key: mac(secret, &[b"infra-watch refresh cookies"]),
            known: Mutex::default(),
        })
    }

    /// A token of a kind for `subject`, standing for `jti`, from `now` to `expires_at`.
    ///
    /// # Errors
    /// [`TokenError::Sign`].
    pub fn issue(
        &self,
        kind: Kind,
        subject: Uuid,
        jti: Uuid,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<String, TokenError> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: kind.audience().to_owned(),
            sub: subject,
            jti,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires_at.timestamp(),
        };
        let header = Header {
            typ: Some(kind.typ().to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &claims, &self.encoding).map_err(TokenError::Sign)
    }

    /// What a genuine, current token of an audience says, and its kind.
    pub fn verify(&self, audience: &str, token: &str, now: DateTime<Utc>) -> Option<Checked> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.known.lock().get(&hash);
        let checked = match known {
            Some(checked) if checked.kind.audience() == audience => checked,
            Some(_) => return None,
            None => {
                let checked = self.check(audience, token)?;
                self.known.lock().put(hash, checked);
                checked
            }
        };
        checked.is_current(now.timestamp()).then_some(checked)
    }

    /// Checks everything of a token but the time.
    fn check(&self, audience: &str, token: &str) -> Option<Checked> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Time is checked below, by our clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let data = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation).ok()?;
        let kind = [Kind::Access, Kind::Api, Kind::Host, Kind::Collector]
            .into_iter()
            .find(|kind| {
                kind.audience() == audience && data.header.typ.as_deref() == Some(kind.typ())
            })?;
        let Claims {
            sub,
            jti,
            iat,
            nbf,
            exp,
            ..
        } = data.claims;
        Some(Checked {
            kind,
            sub,
            jti,
            iat,
            nbf,
            exp,
        })
    }

    /// Who calls with this token: session or API token, as it stands in memory at this moment.
    pub fn user(&self, store: &Store, token: &str, now: DateTime<Utc>) -> Option<Principal> {
        let claims = self.verify(Kind::Access.audience(), token, now)?;
        let user = store
            .state
            .users
            .get(claims.sub)
            .filter(|user| !user.disabled)?;
        match claims.kind {
            Kind::Access => {
                let session = store.state.sessions.get(claims.jti)?;
                let is_valid = session.user_id == user.user_id
                    && session.user_version == user.version
                    && !session.is_over(now);
                is_valid.then(|| Principal {
                    role: user.role,
                    user,
                    session_id: Some(claims.jti),
                    token_id: None,
                })
            }
            Kind::Api => {
                let token = store.state.api_tokens.get(claims.jti)?;
                let is_valid = token.user_id == user.user_id && now < token.expires_at;
                is_valid.then(|| Principal {
                    role: token.role.min(user.role),
                    user,
                    session_id: None,
                    token_id: Some(claims.jti),
                })
            }
            Kind::Host | Kind::Collector => None,
        }
    }

    /// Which host reports with this token, and the token's id.
    pub fn host(
        &self,
        store: &Store,
        token: &str,
        now: DateTime<Utc>,
    ) -> Option<(Arc<Host>, Uuid)> {
        let claims = self.verify(Kind::Host.audience(), token, now)?;
        let host = store.state.hosts.get(claims.sub)?;
        let is_valid = host
            .tokens
            .iter()
            .any(|token| token.token_id == claims.jti && now < token.expires_at);
        is_valid.then_some((host, claims.jti))
    }

    /// Which collector calls with this token.
    pub fn collector(
        &self,
        store: &Store,
        token: &str,
        now: DateTime<Utc>,
    ) -> Option<Arc<CollectorToken>> {
        let claims = self.verify(Kind::Collector.audience(), token, now)?;
        let kept = store.state.collector_tokens.get(claims.jti)?;
        (kept.token_id == claims.sub && now < kept.expires_at).then_some(kept)
    }

    /// The refresh cookie of a session's current generation.
    pub fn refresh_cookie(&self, session: &Session) -> String {
        let (id, generation) = (
            session.session_id.as_bytes(),
            session.generation.to_be_bytes(),
        );
        let mac = mac(&self.refresh_key, &[id, &generation]);
        URL_SAFE_NO_PAD.encode([&id[..], &generation, &mac].concat())
    }

    /// The session and generation of a genuine refresh cookie.
    pub fn read_refresh_cookie(&self, cookie: &str) -> Option<(Uuid, u32)> {
        let bytes: [u8; 52] = URL_SAFE_NO_PAD.decode(cookie).ok()?.try_into().ok()?;
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let (generation, given) = rest.split_first_chunk::<4>()?;
        let mut expected = Hmac::<Sha256>::new_from_slice(&self.refresh_key).ok()?;
        expected.update(id);
        expected.update(generation);
        expected.verify_slice(given).ok()?;
        Some((Uuid::from_bytes(*id), u32::from_be_bytes(*generation)))
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// A random secret of 256 bits in URL-safe text, with a prefix that secret scanners can know.
///
/// # Errors
/// When the system gives no randomness.
pub fn random_secret(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn signed(header: &Header, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(SECRET)).unwrap()
    }

    #[test]
    fn kinds_are_not_interchangeable_and_time_counts() {
        let tokens = Tokens::new(SECRET).unwrap();
        let token = tokens
            .issue(
                Kind::Access,
                Uuid::nil(),
                Uuid::nil(),
                now(),
                now() + TimeDelta::minutes(15),
            )
            .unwrap();
        let verify = |audience, at| {
            tokens
                .verify(audience, &token, at)
                .map(|checked| checked.kind)
        };
        assert_eq!(verify("infra-watch:user", now()), Some(Kind::Access));
        assert_eq!(verify("infra-watch:agent", now()), None);
        assert_eq!(
            verify("infra-watch:user", now() + TimeDelta::seconds(904)),
            Some(Kind::Access)
        );
        assert_eq!(
            verify("infra-watch:user", now() + TimeDelta::seconds(905)),
            None
        );
        assert_eq!(
            verify("infra-watch:user", now() - TimeDelta::seconds(6)),
            None
        );
        let other = Tokens::new(b"another secret of at least 32 bytes").unwrap();
        assert!(other.verify("infra-watch:user", &token, now()).is_none());
        assert!(Tokens::new(b"short").is_err());
    }

    #[test]
    fn what_is_missing_or_odd_is_refused() {
        let tokens = Tokens::new(SECRET).unwrap();
        let seconds = now().timestamp();
        let claims = serde_json::json!({
            "iss": "infra-watch", "aud": "infra-watch:user", "sub": Uuid::nil(), "jti": Uuid::nil(),
            "iat": seconds, "nbf": seconds, "exp": seconds + 60,
        });
        let header = Header {
            typ: Some(Kind::Access.typ().to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let is_taken = |header: &Header, claims: &serde_json::Value| {
            tokens
                .verify("infra-watch:user", &signed(header, claims), now())
                .is_some()
        };
        assert!(is_taken(&header, &claims));
        for name in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp"] {
            let mut less = claims.clone();
            less.as_object_mut().unwrap().remove(name);
            assert!(!is_taken(&header, &less), "without {name}");
        }
        let with = |name: &str, value: serde_json::Value| {
            let mut other = claims.clone();
            other[name] = value;
            other
        };
        assert!(!is_taken(&header, &with("iss", "somebody".into())));
        assert!(
            !is_taken(&header, &with("exp", (seconds + 100_000).into())),
            "an access token that lives too long"
        );
        assert!(!is_taken(&header, &with("iat", (seconds + 30).into())));
        assert!(!is_taken(
            &Header {
                typ: Some("JWT".to_owned()),
                ..header.clone()
            },
            &claims
        ));
        assert!(!is_taken(
            &Header {
                typ: Some(Kind::Host.typ().to_owned()),
                ..header.clone()
            },
            &claims
        ));
        assert!(!is_taken(
            &Header {
                alg: Algorithm::HS512,
                ..header.clone()
            },
            &claims
        ));
        let none = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"infra-watch-access+jwt"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        assert!(tokens.verify("infra-watch:user", &none, now()).is_none());
        assert!(
            tokens
                .verify("infra-watch:user", &"a".repeat(4000), now())
                .is_none()
        );
    }

    #[test]
    fn refresh_cookies_cannot_be_made_up() {
        let tokens = Tokens::new(SECRET).unwrap();
        let session = Session {
            session_id: Uuid::from_u128(5),
            user_id: Uuid::nil(),
            user_version: 1,
            generation: 3,
            rotated_at: now(),
            created_at: now(),
        };
        let cookie = tokens.refresh_cookie(&session);
        assert_eq!(
            tokens.read_refresh_cookie(&cookie),
            Some((Uuid::from_u128(5), 3))
        );
        assert_eq!(tokens.read_refresh_cookie(&cookie[1..]), None);
        let mut bytes = URL_SAFE_NO_PAD.decode(&cookie).unwrap();
        bytes[19] ^= 1;
        assert_eq!(
            tokens.read_refresh_cookie(&URL_SAFE_NO_PAD.encode(bytes)),
            None
        );
    }
}

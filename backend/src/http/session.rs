//! Login, refresh, logout, and one's own account.

use std::sync::Arc;

use poem::web::Data;
use poem::web::cookie::{Cookie, CookieJar, SameSite};
use poem_openapi::OpenApi;

use super::body::{JsonBody, NoContent, Peer, Reply};
use super::guard::Viewer;
use super::problem::ApiError;
use super::{HttpSettings, Tags};
use crate::app::App;
use crate::domain::session::SESSION_ABSOLUTE_SECONDS;
use crate::flows::{FlowError, login};
use crate::wire::session::{ChangePassword, Login, Me, SessionToken, TokenType};

/// Name of the refresh cookie.
const COOKIE: &str = "infra_watch_refresh";
/// Paths that get the cookie.
const COOKIE_PATH: &str = "/api/v1/auth";

/// Sessions.
pub struct SessionApi;

#[OpenApi(tag = "Tags::Sessions")]
impl SessionApi {
    /// Log in.
    ///
    /// Sets the refresh cookie `infra_watch_refresh` beside the access token. Needs no token.
    #[oai(path = "/auth/login", method = "post", operation_id = "login")]
    async fn login(
        &self,
        app: Data<&Arc<App>>,
        settings: Data<&Arc<HttpSettings>>,
        cookies: &CookieJar,
        peer: Peer,
        body: JsonBody<Login>,
    ) -> Result<Reply<SessionToken>, ApiError> {
        let Login { username, password } = body.0;
        let logged_in = login::login(&app, &username.0, &password.0, peer.0)
            .await
            .map_err(|error| match error {
                FlowError::Unauthenticated => ApiError::login_failed(),
                other => other.into(),
            })?;
        Ok(token(cookies, &settings, logged_in))
    }

    /// Exchange the refresh cookie for a fresh access token.
    ///
    /// Needs the cookie and no token. The cookie rotates; the previous one answers the same for 10 s.
    #[oai(
        path = "/auth/refresh",
        method = "post",
        operation_id = "refresh_session"
    )]
    async fn refresh_session(
        &self,
        app: Data<&Arc<App>>,
        settings: Data<&Arc<HttpSettings>>,
        cookies: &CookieJar,
    ) -> Result<Reply<SessionToken>, ApiError> {
        let cookie = cookies.get(COOKIE).ok_or_else(ApiError::unauthorized)?;
        match login::refresh(&app, cookie.value_str()).await {
            Ok(logged_in) => Ok(token(cookies, &settings, logged_in)),
            Err(error) => {
                if matches!(error, FlowError::Unauthenticated) {
                    forget(cookies, &settings);
                }
                Err(error.into())
            }
        }
    }

    /// End the session; its access token stops working at once.
    ///
    /// Least role: viewer.
    #[oai(path = "/auth/logout", method = "post", operation_id = "logout")]
    async fn logout(
        &self,
        caller: Viewer,
        app: Data<&Arc<App>>,
        settings: Data<&Arc<HttpSettings>>,
        cookies: &CookieJar,
    ) -> Result<NoContent, ApiError> {
        login::logout(&app, &caller.0).await?;
        forget(cookies, &settings);
        Ok(NoContent::Done)
    }

    /// Who one is.
    ///
    /// Least role: viewer.
    #[oai(path = "/auth/me", method = "get", operation_id = "get_me")]
    async fn get_me(&self, caller: Viewer) -> Result<Reply<Me>, ApiError> {
        Ok(Reply(Me::new(
            &caller.0.principal.user,
            caller.0.principal.role,
        )))
    }

    /// Choose a new password; the user's other sessions end.
    ///
    /// Least role: viewer.
    #[oai(
        path = "/auth/password",
        method = "post",
        operation_id = "change_password"
    )]
    async fn change_password(
        &self,
        caller: Viewer,
        app: Data<&Arc<App>>,
        body: JsonBody<ChangePassword>,
    ) -> Result<NoContent, ApiError> {
        login::change_password(
            &app,
            &caller.0,
            &body.0.current_password.0,
            &body.0.new_password.0,
        )
        .await?;
        Ok(NoContent::Done)
    }
}

fn token(
    cookies: &CookieJar,
    settings: &HttpSettings,
    logged_in: login::LoggedIn,
) -> Reply<SessionToken> {
    let mut cookie = cookie(settings, &logged_in.refresh_cookie);
    cookie.set_max_age(std::time::Duration::from_secs(
        SESSION_ABSOLUTE_SECONDS.unsigned_abs(),
    ));
    cookies.add(cookie);
    Reply(SessionToken {
        access_token: logged_in.access_token,
        token_type: TokenType::Bearer,
        expires_in: logged_in.expires_in_seconds,
        user: Me::new(&logged_in.principal.user, logged_in.principal.role),
    })
}

fn cookie(settings: &HttpSettings, value: &str) -> Cookie {
    let mut cookie = Cookie::new_with_str(COOKIE, value);
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Strict);
    cookie.set_path(COOKIE_PATH);
    cookie.set_secure(settings.secure_cookies);
    cookie
}

fn forget(cookies: &CookieJar, settings: &HttpSettings) {
    let mut gone = cookie(settings, "");
    gone.set_max_age(std::time::Duration::ZERO);
    cookies.add(gone);
}

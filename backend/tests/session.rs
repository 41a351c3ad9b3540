//! Sessions as people live them: login, refresh, logout, passwords, limits, and the audit log.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use infra_watch::domain::session::{ACCESS_TOKEN_SECONDS, SESSION_ABSOLUTE_SECONDS};
use infra_watch_client::types;
use reqwest::header::SET_COOKIE;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use support::{Backend, PASSWORD, status};

async fn login(backend: &Backend, username: &str, password: &str) -> Response {
    let body = json!({ "username": username, "password": password });
    Client::new()
        .post(backend.url("/api/v1/auth/login"))
        .json(&body)
        .send()
        .await
        .unwrap()
}

/// The refresh cookie that an answer sets, as `name=value`.
fn cookie(response: &Response) -> String {
    let header = response.headers()[SET_COOKIE].to_str().unwrap();
    header.split(';').next().unwrap().to_owned()
}

async fn refresh(backend: &Backend, cookie: &str) -> Response {
    Client::new()
        .post(backend.url("/api/v1/auth/refresh"))
        .header("cookie", cookie)
        .send()
        .await
        .unwrap()
}

async fn me(backend: &Backend, token: &str) -> u16 {
    Client::new()
        .get(backend.url("/api/v1/auth/me"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

async fn token_of(response: Response) -> String {
    response.json::<Value>().await.unwrap()["access_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_login_gives_a_token_and_a_cookie_for_this_site_alone() {
    let backend = Backend::start().await;
    let response = login(&backend, "Viewer", PASSWORD).await;
    assert_eq!(response.status(), 200);
    let header = response.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    for part in [
        "infra_watch_refresh=",
        "HttpOnly",
        "SameSite=Strict",
        "Path=/api/v1/auth",
    ] {
        assert!(header.contains(part), "{header}");
    }
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], ACCESS_TOKEN_SECONDS);
    assert_eq!(body["user"]["role"], "viewer");
    assert_eq!(
        me(&backend, body["access_token"].as_str().unwrap()).await,
        200
    );
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_look_the_same() {
    let backend = Backend::start().await;
    let unknown = login(&backend, "nobody", PASSWORD).await;
    let wrong = login(&backend, "viewer", "wrong password").await;
    assert_eq!(
        (unknown.status().as_u16(), wrong.status().as_u16()),
        (401, 401)
    );
    assert_eq!(unknown.text().await.unwrap(), wrong.text().await.unwrap());
}

#[tokio::test]
async fn five_failures_and_the_account_waits_while_others_go_on() {
    let backend = Backend::start().await;
    // At once: attempts are reserved before the hash, so parallel guesses count.
    let guesses = (0..12).map(|_| login(&backend, "viewer", "wrong password"));
    let statuses: Vec<u16> = futures_util::future::join_all(guesses)
        .await
        .iter()
        .map(|response| response.status().as_u16())
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 401).count(),
        5,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        7,
        "{statuses:?}"
    );
    let limited = login(&backend, "VIEWER", PASSWORD).await;
    assert_eq!(limited.status(), 429);
    assert_eq!(limited.headers()["retry-after"], "300");
    assert_eq!(login(&backend, "admin", PASSWORD).await.status(), 200);
    backend.clock.advance(300);
    assert_eq!(login(&backend, "viewer", PASSWORD).await.status(), 200);
}

#[tokio::test]
async fn refresh_rotates_two_tabs_agree_and_an_old_cookie_ends_the_session() {
    let backend = Backend::start().await;
    let first = login(&backend, "viewer", PASSWORD).await;
    let first_cookie = cookie(&first);
    let first_token = token_of(first).await;
    let (one, two) = (
        refresh(&backend, &first_cookie).await,
        refresh(&backend, &first_cookie).await,
    );
    assert_eq!((one.status().as_u16(), two.status().as_u16()), (200, 200));
    let second_cookie = cookie(&one);
    assert_eq!(
        second_cookie,
        cookie(&two),
        "both tabs hold the same successor"
    );
    assert_ne!(second_cookie, first_cookie);
    assert_eq!(
        refresh(&backend, "infra_watch_refresh=made-up")
            .await
            .status(),
        401
    );

    backend.clock.advance(11);
    let refused = refresh(&backend, &first_cookie).await;
    assert_eq!(refused.status(), 401);
    assert!(
        refused.headers()[SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(
        refresh(&backend, &second_cookie).await.status(),
        401,
        "the whole session ended"
    );
    assert_eq!(me(&backend, &first_token).await, 401);
}

#[tokio::test]
async fn tokens_and_sessions_end_by_time() {
    let backend = Backend::start().await;
    let response = login(&backend, "viewer", PASSWORD).await;
    let mut cookie_now = cookie(&response);
    let token = token_of(response).await;
    backend.clock.advance(ACCESS_TOKEN_SECONDS + 10);
    assert_eq!(me(&backend, &token).await, 401);
    // Kept alive every 20 minutes, until its absolute end.
    let mut alive_seconds = ACCESS_TOKEN_SECONDS + 10;
    loop {
        let response = refresh(&backend, &cookie_now).await;
        if response.status() != 200 {
            break;
        }
        cookie_now = cookie(&response);
        backend.clock.advance(1200);
        alive_seconds += 1200;
    }
    assert!(
        (SESSION_ABSOLUTE_SECONDS..SESSION_ABSOLUTE_SECONDS + 1200).contains(&alive_seconds),
        "{alive_seconds}"
    );
    let idle = cookie(&login(&backend, "viewer", PASSWORD).await);
    backend.clock.advance(1800);
    assert_eq!(refresh(&backend, &idle).await.status(), 401);
}

#[tokio::test]
async fn logout_bites_at_once() {
    let backend = Backend::start().await;
    let response = login(&backend, "viewer", PASSWORD).await;
    let old = cookie(&response);
    let token = token_of(response).await;
    let logout = Client::new()
        .post(backend.url("/api/v1/auth/logout"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(logout.status(), 204);
    assert!(
        logout.headers()[SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(me(&backend, &token).await, 401);
    assert_eq!(refresh(&backend, &old).await.status(), 401);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_not_this_one() {
    let backend = Backend::start().await;
    let (here, elsewhere) = (
        backend.client("viewer").await,
        backend.client("viewer").await,
    );
    let change = |current: &str, new: &str| {
        types::ChangePassword::builder()
            .current_password(current)
            .new_password(new)
    };
    let refused = |current, new| here.change_password().body(change(current, new)).send();
    assert_eq!(
        status(
            refused("wrong password", "a new password")
                .await
                .unwrap_err()
        ),
        422
    );
    assert_eq!(
        status(refused(PASSWORD, "password123").await.unwrap_err()),
        422
    );
    here.change_password()
        .body(change(PASSWORD, "a new password"))
        .send()
        .await
        .unwrap();
    here.get_me().send().await.unwrap();
    assert_eq!(status(elsewhere.get_me().send().await.unwrap_err()), 401);
    assert_eq!(login(&backend, "viewer", PASSWORD).await.status(), 401);
    assert_eq!(
        login(&backend, "viewer", "a new password").await.status(),
        200
    );
}

#[tokio::test]
async fn what_an_admin_changes_about_a_user_takes_effect_at_once() {
    let backend = Backend::start().await;
    let admin = backend.client("admin").await;
    let users = admin.list_users().send().await.unwrap().into_inner().items;
    let id = |name: &str| {
        users
            .iter()
            .find(|user| user.username == name)
            .unwrap()
            .user_id
    };
    let update = |name: &str, patch: types::builder::UpdateUser| {
        admin.update_user().user_id(id(name)).body(patch).send()
    };

    let viewer = backend.client("viewer").await;
    update("viewer", types::UpdateUser::builder().disabled(true))
        .await
        .unwrap();
    assert_eq!(status(viewer.get_me().send().await.unwrap_err()), 401);
    assert_eq!(login(&backend, "viewer", PASSWORD).await.status(), 401);

    // The last admin cannot go.
    for patch in [
        types::UpdateUser::builder().disabled(true),
        types::UpdateUser::builder().role(types::Role::Viewer),
    ] {
        assert_eq!(status(update("admin", patch).await.unwrap_err()), 409);
    }
    assert_eq!(
        status(
            admin
                .delete_user()
                .user_id(id("admin"))
                .send()
                .await
                .unwrap_err()
        ),
        409
    );
    // Names are unique without regard to case.
    let twin = types::CreateUser::builder()
        .username("OPERATOR")
        .password(PASSWORD)
        .role(types::Role::Viewer);
    assert_eq!(
        status(admin.create_user().body(twin).send().await.unwrap_err()),
        409
    );
    assert_eq!(
        status(
            update(
                "operator",
                types::UpdateUser::builder().username("Admin".to_owned())
            )
            .await
            .unwrap_err()
        ),
        409
    );
    update(
        "operator",
        types::UpdateUser::builder().role(types::Role::Admin),
    )
    .await
    .unwrap();
    admin
        .delete_user()
        .user_id(id("viewer"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        status(
            admin
                .get_user()
                .user_id(id("viewer"))
                .send()
                .await
                .unwrap_err()
        ),
        404
    );
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_page_by_page() {
    let backend = Backend::start().await;
    let admin = backend.client("admin").await;
    login(&backend, "viewer", "wrong password").await;
    login(&backend, "my secret password", "typed into the wrong field").await;
    backend.clock.advance(1);
    backend.enroll("web-1").await;
    backend.clock.advance(1);
    login(&backend, "viewer", "another wrong password").await;
    let (mut actions, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut page = admin.list_audit_entries().limit(2);
        if let Some(cursor) = &cursor {
            page = page.cursor(cursor);
        }
        let page = page.send().await.unwrap().into_inner();
        assert!(page.items.len() <= 2);
        for entry in &page.items {
            assert!(
                !format!("{entry:?}").contains("my secret password"),
                "what was typed may be a secret"
            );
            actions.push((
                entry.action.clone(),
                entry.actor_name.clone(),
                entry.object_name.clone(),
            ));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let has = |action: &str, actor: &str, object: &str| {
        actions
            .iter()
            .any(|entry| *entry == (action.to_owned(), actor.to_owned(), object.to_owned()))
    };
    assert!(has("user.create", "infra-watch", "viewer"), "{actions:?}");
    assert!(has("session.create", "admin", "admin"), "{actions:?}");
    assert!(has("session.refuse", "viewer", "viewer"), "{actions:?}");
    assert!(has("session.refuse", "unknown", "unknown"), "{actions:?}");
    assert!(
        has("enrollment_key.create", "admin", "for tests"),
        "{actions:?}"
    );
    assert!(has("host.enroll", "for tests", "web-1"), "{actions:?}");
    assert_eq!(actions[0].0, "session.refuse", "newest first");
    let is_enrolment = |entry: &(String, String, String)| entry.0 == "host.enroll";
    assert!(actions[1..4].iter().any(is_enrolment), "{actions:?}");
}

//! Mail: what a mail program reads, how private its way is, and what a server may refuse.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/notices.rs"]
mod notices;
#[path = "support/smtp.rs"]
mod smtp;

use std::time::Duration;

use infra_watch::domain::egress::EgressRules;
use infra_watch::domain::notification::{ChannelKind, Content, Email, SmtpSecurity, Transition};
use infra_watch::notify::{Notifiers, check_addresses};
use notices::{content, fires, notice, tell, upgrade};
use serde_json::Value;
use smtp::{MailServer, NAME, Options};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

fn notifiers(server: &MailServer) -> Notifiers {
    let rules = EgressRules {
        allow: Vec::new(),
        allow_private: true,
    };
    let notifiers = Notifiers::new(rules, Some("https://watch.example".to_owned())).unwrap();
    match &server.certificate {
        Some(certificate) => notifiers.trusting(certificate.clone()).unwrap(),
        None => notifiers,
    }
}

fn email(port: u16) -> Email {
    Email {
        smtp_host: NAME.to_owned(),
        smtp_port: port,
        security: SmtpSecurity::None,
        username: None,
        password: None,
        from: "Infra-Watch <watch@example.org>".to_owned(),
        to: vec![
            "Ops <ops@example.org>".to_owned(),
            "b@example.org".to_owned(),
        ],
    }
}

async fn plain_server() -> MailServer {
    MailServer::start(Options {
        security: "none",
        ..Options::default()
    })
    .await
}

/// Sends that something fires; the error in words.
async fn send(notifiers: &Notifiers, email: Email) -> Result<(), String> {
    tell(notifiers, ChannelKind::Email(email), "key", &fires()).await
}

fn header<'a>(mail: &'a Value, name: &str) -> &'a str {
    let headers = mail["headers"].as_array().unwrap();
    let found: Vec<&Value> = headers.iter().filter(|header| header[0] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {headers:?}");
    found[0][1].as_str().unwrap()
}

#[tokio::test]
async fn a_mail_says_what_happened_and_what_changed_before() {
    let mut server = plain_server().await;
    let content = Content::Notices {
        notices: vec![
            notice(1, Transition::Firing),
            notice(2, Transition::Resolved),
        ],
        held_back: 4,
        preceding: vec![upgrade(1)],
    };
    let kind = ChannelKind::Email(email(server.port));
    let told = tell(&notifiers(&server), kind, "the-key", &content).await;
    told.unwrap();
    let mail = server.next().await;
    assert_eq!(mail["sender"], "watch@example.org");
    assert_eq!(
        mail["receivers"],
        serde_json::json!(["ops@example.org", "b@example.org"])
    );
    assert_eq!(mail["hello"], "watch.example");
    assert_eq!(mail["is_ascii"], true);
    assert_eq!(mail["content_type"], "multipart/alternative");
    let check = |name, expect| assert_eq!(header(&mail, name), expect);
    check("from", "Infra-Watch <watch@example.org>");
    check("to", "Ops <ops@example.org>, b@example.org");
    check("message-id", "<the-key@example.org>");
    check("auto-submitted", "auto-generated");
    check("date", "Fri, 15 Jan 2027 08:00:00 +0000");
    check(
        "subject",
        "[FIRING:1 RESOLVED:1] Disk above 90 % on web-1 (/var) and 5 more",
    );
    assert_eq!(
        mail["text"],
        "FIRING: Disk above 90 % on web-1 (/var)\n  \
           Seen: disk_usage_percent is 97.2 %\n  \
           Condition: disk_usage_percent is above 90 % for 5 min\n  \
           Severity: critical\n  \
           Host: web-1\n  \
           Instance: /var\n  \
           Since: 2027-01-15T07:55:00Z\n  \
           https://watch.example/alerts/00000000-0000-0000-0000-000000000001\n\
         \n  \
           Changed on web-1 in the 24 h before:\n  \
           - 2027-01-15T07:50:00Z  openssl 3.0.13 → 3.0.14 upgraded, variable DB_PASSWORD changed\n      \
               environment DB_PASSWORD (changed)\n      \
               openssl 3.0.13 → 3.0.14 (upgrade)\n\
         \n\
         RESOLVED: Rule 2 on web-1\n  \
           Seen: disk_usage_percent is 97.2 %\n  \
           Condition: disk_usage_percent is above 90 % for 5 min\n  \
           Severity: critical\n  \
           Host: web-1\n  \
           Lasted: from 2027-01-15T07:55:00Z to 2027-01-15T08:00:00Z\n  \
           https://watch.example/alerts/00000000-0000-0000-0000-000000000002\n\
         \n\
         and 4 more, see the alert log\n\
         https://watch.example/alerts\n"
    );
    let html = mail["html"].as_str().unwrap();
    for words in [
        "<h2 style=\"font-size:1.1em\">FIRING: Disk above 90 % on web-1 (/var)</h2>",
        "<td>disk_usage_percent is 97.2 %</td>",
        "<a href=\"https://watch.example/alerts/00000000-0000-0000-0000-000000000001\">",
        "<p>Changed on web-1 in the 24 h before:</p>",
        "<li>openssl 3.0.13 → 3.0.14 (upgrade)</li>",
        "and 4 more, see the alert log",
    ] {
        assert!(html.contains(words), "{words}\n{html}");
    }
    for forbidden in ["<script", "<img", "src=", "http-equiv", "color:"] {
        assert!(!html.contains(forbidden), "{forbidden}\n{html}");
    }
}

#[tokio::test]
async fn names_of_hosts_are_words_and_nothing_else() {
    let mut server = plain_server().await;
    let mut evil = notice(1, Transition::Firing);
    evil.told.rule_name =
        "Evil\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script>".to_owned();
    evil.told.host_name = "wächter\r\n.\r\nMAIL FROM:<x@example.org>".to_owned();
    let (kind, key) = (
        ChannelKind::Email(email(server.port)),
        "k\r\nBcc: x@example.org",
    );
    let told = tell(&notifiers(&server), kind, key, &content(vec![evil])).await;
    told.unwrap();
    let mail = server.next().await;
    assert_eq!(
        header(&mail, "subject"),
        "[FIRING] Evil  Bcc: victim@example.org    <script>alert(1)</script> on wächter  .  MAIL FROM:<x@example.org> (/var)"
    );
    assert_eq!(
        header(&mail, "message-id"),
        "<k--Bcc--x-example.org@example.org>"
    );
    let names: Vec<&str> = mail["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| header[0].as_str().unwrap())
        .collect();
    assert!(!names.contains(&"bcc"), "{names:?}");
    let html = mail["html"].as_str().unwrap();
    assert!(
        html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{html}"
    );
    assert!(!html.contains("<script"), "{html}");
    assert_eq!(server.unread(), 0);
}

#[tokio::test]
async fn a_subject_says_the_worst_and_counts_the_rest() {
    use Transition::{Firing, Repeat, Resolved};
    let mut server = plain_server().await;
    let notifiers = notifiers(&server);
    let mut check = async |told: &[(u128, Transition)], held_back, expect: &str| {
        let notices = told.iter().map(|(alert, what)| notice(*alert, *what));
        let content = Content::Notices {
            notices: notices.collect(),
            held_back,
            preceding: Vec::new(),
        };
        let kind = ChannelKind::Email(email(server.port));
        tell(&notifiers, kind, "key", &content).await.unwrap();
        assert_eq!(header(&server.next().await, "subject"), expect);
    };
    let disk = "Disk above 90 % on web-1 (/var)";
    check(&[(1, Firing)], 0, &format!("[FIRING] {disk}")).await;
    check(&[(1, Repeat(2))], 0, &format!("[STILL FIRING] {disk}")).await;
    check(&[(1, Resolved)], 0, &format!("[RESOLVED] {disk}")).await;
    check(&[(2, Firing)], 0, "[FIRING] Rule 2 on web-1").await;
    // Of an alert that ended meanwhile, only the end.
    check(
        &[(1, Firing), (1, Resolved)],
        0,
        &format!("[RESOLVED] {disk}"),
    )
    .await;
    check(&[(1, Firing)], 4, &format!("[FIRING:1] {disk} and 4 more")).await;
    check(
        &[(1, Firing), (2, Resolved), (3, Firing), (4, Repeat(3))],
        2,
        &format!("[FIRING:2 STILL FIRING:1 RESOLVED:1] {disk} and 5 more"),
    )
    .await;
}

#[tokio::test]
async fn a_trial_says_who_tries() {
    let mut server = plain_server().await;
    let (kind, by) = (ChannelKind::Email(email(server.port)), "alice".to_owned());
    let told = tell(&notifiers(&server), kind, "key", &Content::Test { by }).await;
    told.unwrap();
    let mail = server.next().await;
    assert_eq!(header(&mail, "subject"), "[TEST] Infra-Watch reaches you");
    let text = mail["text"].as_str().unwrap();
    assert!(text.starts_with("alice tries this channel"), "{text}");
}

#[tokio::test]
async fn a_mail_keeps_to_the_privacy_that_was_asked_for() {
    let check = async |server: &str, security, certified, host: &str, expect: &str| {
        let server: &'static str = match server {
            "none" => "none",
            "starttls" => "starttls",
            _ => "tls",
        };
        let mut server = MailServer::start(Options {
            security: server,
            certified,
            ..Options::default()
        })
        .await;
        let asked = Email {
            security,
            smtp_host: host.to_owned(),
            ..email(server.port)
        };
        let words = format!("{security:?} {certified:?} {host}");
        match send(&notifiers(&server), asked).await {
            Ok(()) => {
                let mail = server.next().await;
                let is_private = security != SmtpSecurity::None;
                assert_eq!(
                    ("", mail["tls"].as_bool()),
                    (expect, Some(is_private)),
                    "{words}"
                );
            }
            Err(error) => {
                assert!(
                    !expect.is_empty() && error.contains(expect),
                    "{words}: {error}"
                );
                assert_eq!(server.unread(), 0, "{words}");
            }
        }
    };
    use SmtpSecurity::{None as Open, Starttls, Tls};
    check("none", Open, None, NAME, "").await;
    check("starttls", Starttls, Some(NAME), NAME, "").await;
    check("tls", Tls, Some(NAME), NAME, "").await;
    check("none", Starttls, None, NAME, "does not offer STARTTLS").await;
    check("none", Tls, None, NAME, "talking to the mail server: ").await;
    // The certificate must name the host that was given, whatever address it has.
    for (server, security) in [("starttls", Starttls), ("tls", Tls)] {
        check(server, security, Some("other.test"), NAME, "certificate").await;
        check(server, security, Some(NAME), "127.0.0.1", "certificate").await;
    }
    // A server that insists on it.
    check(
        "starttls",
        Open,
        Some(NAME),
        NAME,
        "the mail server refused the sender",
    )
    .await;
}

#[tokio::test]
async fn a_certificate_of_nobody_is_refused() {
    let server = MailServer::start(Options {
        security: "tls",
        certified: Some(NAME),
        ..Options::default()
    })
    .await;
    let asked = Email {
        security: SmtpSecurity::Tls,
        ..email(server.port)
    };
    let rules = EgressRules {
        allow: Vec::new(),
        allow_private: true,
    };
    let error = send(&Notifiers::new(rules, None).unwrap(), asked).await;
    assert_eq!(
        error.unwrap_err(),
        "talking to the mail server: invalid peer certificate: UnknownIssuer"
    );
}

#[tokio::test]
async fn a_login_must_be_right() {
    let mut server = MailServer::start(Options {
        security: "none",
        login: Some(("watch", "correct horse")),
        ..Options::default()
    })
    .await;
    let port = server.port;
    let asked = |login: Option<(&str, &str)>| Email {
        username: login.map(|(username, _)| username.to_owned()),
        password: login.map(|(_, password)| password.to_owned()),
        ..email(port)
    };
    let cases = [
        (Some(("watch", "correct horse")), Ok(())),
        (
            Some(("watch", "wrong")),
            Err("the mail server refused the login: 535"),
        ),
        (
            None,
            Err("the mail server refused the sender watch@example.org: 530"),
        ),
    ]
    .map(|(login, expect)| (asked(login), expect));
    let notifiers = notifiers(&server);
    for (asked, expect) in cases {
        let sent = send(&notifiers, asked).await;
        assert_eq!(
            sent.as_ref().map_err(String::as_str),
            expect.as_ref().map_err(|expect| *expect)
        );
    }
    assert_eq!(server.next().await["login"], "watch");
    let open = plain_server().await;
    let asked = Email {
        smtp_port: open.port,
        ..asked(Some(("watch", "x")))
    };
    assert_eq!(
        send(&notifiers, asked).await.unwrap_err(),
        "the mail server does not offer a login with a password"
    );
}

#[tokio::test]
async fn a_receiver_that_is_refused_does_not_silence_the_others() {
    let check =
        async |refuse: &'static [&'static str], content: Content, expect: Result<&[&str], &str>| {
            let mut server = MailServer::start(Options {
                security: "none",
                refuse,
                ..Options::default()
            })
            .await;
            let kind = ChannelKind::Email(email(server.port));
            let told = tell(&notifiers(&server), kind, "key", &content).await;
            match expect {
                Ok(receivers) => {
                    told.unwrap();
                    assert_eq!(
                        server.next().await["receivers"],
                        serde_json::json!(receivers)
                    );
                }
                Err(expect) => {
                    assert_eq!(told.unwrap_err(), expect);
                    assert_eq!(server.unread(), 0);
                }
            }
        };
    let trial = Content::Test {
        by: "alice".to_owned(),
    };
    check(
        &["ops@example.org=550 gone"],
        fires(),
        Ok(&["b@example.org"]),
    )
    .await;
    check(
        &["ops@example.org=550 gone"],
        trial,
        Err("the mail server refused the receiver ops@example.org: 550"),
    )
    .await;
    check(
        &["b@example.org=451 later"],
        fires(),
        Err("the mail server refused the receiver b@example.org: 451"),
    )
    .await;
    check(
        &["ops@example.org=550 gone", "b@example.org=550 gone"],
        fires(),
        Err("the mail server refused the receiver b@example.org: 550"),
    )
    .await;
}

#[tokio::test]
async fn a_server_that_went_away_gets_the_same_mail_when_it_is_back() {
    let mut server = plain_server().await;
    let notifiers = notifiers(&server);
    send(&notifiers, email(server.port)).await.unwrap();
    let first = server.next().await;
    server.kill();
    assert_eq!(
        send(&notifiers, email(server.port)).await.unwrap_err(),
        "connecting: connection refused"
    );
    server.restart().await;
    send(&notifiers, email(server.port)).await.unwrap();
    let second = server.next().await;
    assert_eq!(header(&first, "message-id"), "<key@example.org>");
    assert_eq!(header(&second, "message-id"), "<key@example.org>");
}

#[tokio::test]
async fn a_server_that_is_none_is_given_up() {
    let check = async |says: &'static [u8], is_endless: bool, expect: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            while stream.write_all(says).await.is_ok() && is_endless {}
            // Open until the test ends.
            std::future::pending::<()>().await;
        });
        let rules = EgressRules {
            allow: Vec::new(),
            allow_private: true,
        };
        let notifiers = Notifiers::new(rules, None)
            .unwrap()
            .patient_for(Duration::from_secs(2));
        let asked = Email {
            smtp_host: "127.0.0.1".to_owned(),
            ..email(port)
        };
        assert_eq!(send(&notifiers, asked).await.unwrap_err(), expect);
    };
    check(b"", false, "no answer within 2 s").await;
    check(
        b"HTTP/1.1 400 Bad Request\r\n",
        false,
        "the mail server does not speak SMTP",
    )
    .await;
    check(
        b"554 go away\r\n",
        false,
        "the mail server refused the connection: 554",
    )
    .await;
    check(
        b"220-more and more",
        true,
        "talking to the mail server: the answer has no end",
    )
    .await;
}

#[tokio::test]
async fn a_server_at_an_address_that_is_not_permitted_is_not_dialled() {
    let mut server = plain_server().await;
    let notifiers = Notifiers::new(EgressRules::default(), None).unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let asked = Email {
            smtp_host: host.to_owned(),
            ..email(server.port)
        };
        let error = send(&notifiers, asked).await.unwrap_err();
        assert!(
            error.ends_with("is loopback: --egress-allow must name it"),
            "{error}"
        );
    }
    assert_eq!(server.unread(), 0);
}

#[test]
fn addresses_are_checked_by_field() {
    let check = |from: &str, to: &[&str], expect: Option<&str>| {
        let asked = Email {
            from: from.to_owned(),
            to: to.iter().map(|to| (*to).to_owned()).collect(),
            ..email(25)
        };
        let field = check_addresses(&asked).err().map(|(field, _)| field);
        assert_eq!(field.as_deref(), expect, "{from} {to:?}");
    };
    check("a@example.org", &["Ops <b@example.org>"], None);
    check("a", &["b@example.org"], Some("from"));
    check("a@example.org", &[], Some("to"));
    check("a@example.org", &["b@example.org", "c"], Some("to[1]"));
}

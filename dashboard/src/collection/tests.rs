//! What is written into the form becomes a request, and what is known becomes words.

use infra_watch_client::{Operation as _, operations, read};
use uuid::Uuid;

use super::*;

const SSH: [(&str, &str); 3] = [
    ("kind", "ssh"),
    ("collection.address", "10.0.0.5"),
    ("collection.user", "watch"),
];
const HTTP: [(&str, &str); 3] = [
    ("kind", "http"),
    ("collection.url", "https://web-1/report"),
    ("collection.token", "s3cret"),
];

fn draft(texts: &[(&str, &str)], more: &[(&str, &str)]) -> Draft {
    let mut draft = Draft::new();
    draft.set("name", "web-1");
    for (name, text) in texts.iter().chain(more) {
        draft.set(name, text);
    }
    draft
}

fn known(json: &str) -> Collection {
    read(json.as_bytes()).unwrap()
}

/// The settings in a change, as they are sent.
fn sent(body: &UpdateHost) -> String {
    let body = operations::update_host(Uuid::nil(), body)
        .into_request()
        .body
        .unwrap();
    let (_, settings) = body.split_once("\"collection\":").unwrap();
    settings.to_owned()
}

#[test]
fn what_is_typed_is_checked_before_it_is_sent() {
    let check = |texts: &[(&str, &str)], more: &[(&str, &str)], expect: Option<&str>| {
        let error = draft(texts, more).create().err();
        let field = error.map(|error| error.fields[0].name.clone());
        assert_eq!(field.as_deref(), expect, "{more:?}");
    };
    check(&SSH, &[], None);
    check(&HTTP, &[], None);
    check(&HTTP, &[("name", "")], Some("name"));
    check(&HTTP, &[("labels", "role")], Some("labels"));
    check(
        &HTTP,
        &[("interval_seconds", "often")],
        Some("interval_seconds"),
    );
    check(
        &HTTP,
        &[("interval_seconds", "0s")],
        Some("interval_seconds"),
    );
    check(&HTTP, &[("collection.url", " ")], Some("collection.url"));
    check(
        &SSH,
        &[("collection.address", "")],
        Some("collection.address"),
    );
    check(
        &SSH,
        &[("collection.port", "70000")],
        Some("collection.port"),
    );
    check(
        &SSH,
        &[("collection.agent_path", "")],
        Some("collection.agent_path"),
    );
    check(&SSH, &[(LOGIN, OWN_KEY)], Some("collection.private_key"));
    let jump = ("collection.jump.address", "bastion");
    check(&SSH, &[jump], Some("collection.jump.user"));
    check(&SSH, &[jump, ("collection.jump.user", "hop")], None);
}

#[test]
fn only_what_belongs_to_the_way_is_sent() {
    let update = |draft: Draft| {
        sent(
            &draft
                .update(&known(r#"{"kind":"push","is_pushed":true}"#))
                .unwrap(),
        )
    };
    let token = ("collection.token", "s3cret");
    let command = update(draft(&SSH, &[token]));
    assert!(
        command.contains("agent_path")
            && !command.contains("token")
            && !command.contains("endpoint"),
        "{command}"
    );
    let tunnel = update(draft(&SSH, &[token, ("collection.mode", "tunnel")]));
    assert!(
        !tunnel.contains("agent_path")
            && tunnel.contains("s3cret")
            && tunnel.contains("127.0.0.1:7421"),
        "{tunnel}"
    );
    let http = update(draft(&HTTP, &[("collection.address", "10.0.0.5")]));
    assert!(
        http.contains("https://web-1/report") && !http.contains("10.0.0.5"),
        "{http}"
    );
}

#[test]
fn what_is_not_written_anew_stays() {
    let known = known(
        r#"{"kind":"ssh","is_pushed":false,"address":"10.0.0.5","port":22,"user":"watch","host_key":"SHA256:old",
            "mode":"command","agent_path":"agent","has_private_key":true,
            "jump":{"address":"bastion","port":22,"user":"hop","has_private_key":false}}"#,
    );
    let edited = [
        ("collection.host_key", "SHA256:old"),
        (LOGIN, OWN_KEY),
        ("collection.jump.address", "bastion"),
        ("collection.jump.user", "hop"),
    ];
    let update = |more: &[(&str, &str)]| {
        let texts = [&edited, more].concat();
        sent(&draft(&SSH, &texts).update(&known).unwrap())
    };
    let same = update(&[]);
    assert!(
        !same.contains("host_key") && !same.contains("private_key"),
        "{same}"
    );
    assert!(update(&[("collection.host_key", "")]).contains(r#""host_key":"""#));
    assert!(update(&[(LOGIN, BACKEND_KEY)]).contains(r#""private_key":"""#));
    assert!(update(&[("collection.private_key", "key ")]).contains(r#""private_key":"key\"#));
    assert!(update(&[("collection.jump.address", "")]).contains(r#""jump":{"address":""}"#));
}

#[test]
fn the_key_that_changed_is_the_one_that_is_named() {
    let both = |error: &str| {
        known(&format!(
            r#"{{"kind":"ssh","is_pushed":false,"host_key":"SHA256:a","last_error":"{error}",
                 "jump":{{"address":"bastion","port":2222,"user":"hop","host_key":"SHA256:b","has_private_key":false}}}}"#
        ))
    };
    let (old, settings) = changed_key(&both("it shows SHA256:c in place of SHA256:a"), "SHA256:c");
    assert_eq!(
        (old.as_str(), settings.host_key.as_deref()),
        ("SHA256:a", Some("SHA256:c"))
    );
    let (old, settings) = changed_key(
        &both("the jump host shows SHA256:c in place of SHA256:b"),
        "SHA256:c",
    );
    let jump = settings.jump.unwrap();
    assert_eq!(
        (old.as_str(), jump.host_key.as_deref()),
        ("SHA256:b", Some("SHA256:c"))
    );
    assert_eq!(jump.port, NonZeroU64::new(2222));
    let http = known(r#"{"kind":"http","is_pushed":false,"certificate_fingerprint":"aa"}"#);
    let (old, settings) = changed_key(&http, "bb");
    assert_eq!(
        (old.as_str(), settings.certificate_fingerprint.as_deref()),
        ("aa", Some("bb"))
    );
}

#[test]
fn where_it_is_and_what_is_to_be_done_there() {
    let ssh = known(
        r#"{"kind":"ssh","is_pushed":false,"address":"fd12::1","port":2222,"user":"watch","mode":"tunnel",
            "endpoint":"127.0.0.1:7421","authorized_keys":"restrict key",
            "jump":{"address":"bastion","port":22,"user":"hop","has_private_key":false,"authorized_keys":"restrict hop"}}"#,
    );
    assert_eq!(place(&ssh), "watch@[fd12::1]:2222 through hop@bastion:22");
    let lines = preparations(&ssh);
    let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "restrict key",
            "restrict hop",
            "infra-watch-agent serve --listen 127.0.0.1:7421 --token-file FILE"
        ]
    );
    let check = |url: &str, command: &str| {
        let http = known(&format!(
            r#"{{"kind":"http","is_pushed":false,"url":"{url}"}}"#
        ));
        assert_eq!(place(&http), url);
        assert_eq!(
            preparations(&http)[0].1,
            format!("infra-watch-agent serve --listen 0.0.0.0:{command}")
        );
    };
    check("http://10.0.0.5/report", "7421 --token-file FILE");
    check(
        "https://web-1:8443/report",
        "8443 --token-file FILE --tls-cert CERTIFICATE --tls-key KEY",
    );
}

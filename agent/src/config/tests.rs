//! Tests of the settings and their order of strength.

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn interval(settings: &Settings) -> u32 {
    settings.interval_seconds().unwrap().get()
}

#[test]
fn flags_before_environment_before_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    fs::write(
        &file,
        "server = 'http://file'\ninterval = '3s'\nlog_level = 'debug'\nspool_size = '1MiB'\n",
    )
    .unwrap();
    let span = |seconds| Some(Span(Duration::from_secs(seconds)));
    let flags = Settings {
        interval: span(1),
        ..Settings::default()
    };
    let environment = variables(&[
        ("INFRA_WATCH_AGENT_INTERVAL", "2s"),
        ("INFRA_WATCH_AGENT_SERVER", "http://environment"),
        ("INFRA_WATCH_AGENT_LOG_FORMAT", "json"),
        ("INFRA_WATCH_AGENT_SOMETHING_ELSE", "x"),
    ]);

    let all = layered(flags.clone(), &environment, Some(&file)).unwrap();
    assert_eq!(
        (interval(&all), all.server_url().unwrap().as_str()),
        (1, "http://environment")
    );
    assert_eq!(
        (all.log_level, all.log_format),
        (Some(LogLevel::Debug), Some(LogFormat::Json))
    );
    assert_eq!(all.spool_limits().unwrap().max_bytes, 1 << 20);
    assert_eq!(
        interval(&layered(Settings::default(), &environment, Some(&file)).unwrap()),
        2
    );
    assert_eq!(
        interval(&layered(Settings::default(), &[], Some(&file)).unwrap()),
        3
    );
    assert_eq!(
        interval(&layered(Settings::default(), &[], None).unwrap()),
        30
    );

    let named = variables(&[("INFRA_WATCH_AGENT_CONFIG", file.to_str().unwrap())]);
    assert_eq!(
        interval(&layered(Settings::default(), &named, None).unwrap()),
        3
    );
}

#[test]
fn the_key_and_its_file_are_one_setting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, "from-file\n").unwrap();
    let by_file = Settings {
        enrollment_key_file: Some(path.clone()),
        ..Settings::default()
    };
    let by_value = Settings {
        enrollment_key: Some("value".to_owned()),
        ..Settings::default()
    };
    let variable = variables(&[("INFRA_WATCH_AGENT_ENROLLMENT_KEY", "from-environment")]);
    let check = |flags: &Settings, environment: &[(String, String)], expect: Option<&str>| {
        let settings = layered(flags.clone(), environment, None).unwrap();
        assert_eq!(settings.enrollment_key().unwrap().as_deref(), expect);
    };
    check(&by_file, &variable, Some("from-file"));
    check(&by_value, &variable, Some("value"));
    check(&Settings::default(), &variable, Some("from-environment"));
    check(
        &Settings::default(),
        &variables(&[(
            "INFRA_WATCH_AGENT_ENROLLMENT_KEY_FILE",
            path.to_str().unwrap(),
        )]),
        Some("from-file"),
    );
    check(&Settings::default(), &[], None);

    let both = Settings {
        enrollment_key: Some("x".to_owned()),
        ..by_file.clone()
    };
    assert!(layered(both, &[], None).is_err());
    fs::write(&path, "\n").unwrap();
    assert!(by_file.enrollment_key().is_err());
}

#[test]
fn what_is_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    let check_file = |text: &str| {
        fs::write(&file, text).unwrap();
        assert!(
            matches!(
                layered(Settings::default(), &[], Some(&file)),
                Err(ConfigError::File { .. })
            ),
            "{text}"
        );
    };
    check_file("intervall = '3s'");
    check_file("interval = 3");
    check_file("interval = '3 seconds'");
    check_file("log_level = 'loud'");
    assert!(matches!(
        layered(Settings::default(), &[], Some(Path::new("/nowhere"))),
        Err(ConfigError::Read { .. })
    ));
    let wrong = variables(&[("INFRA_WATCH_AGENT_INTERVAL", "soon")]);
    let error = layered(Settings::default(), &wrong, None).err().unwrap();
    assert_eq!(
        error.to_string(),
        "INFRA_WATCH_AGENT_INTERVAL cannot be understood"
    );
}

#[test]
fn lists_and_switches() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agent.toml");
    fs::write(
        &file,
        "files = ['/etc/a', '/etc/b,c']\nenvironment_allow = 'A,B'\nservices = true\n",
    )
    .unwrap();
    let settings = layered(Settings::default(), &[], Some(&file)).unwrap();
    assert_eq!(settings.files().unwrap().hashed, ["/etc/a", "/etc/b,c"]);
    assert_eq!(settings.watched_environment(None).allow, ["A", "B"]);
    assert!(settings.services());

    let environment = variables(&[
        ("INFRA_WATCH_AGENT_FILES", "/x, /y,"),
        ("INFRA_WATCH_AGENT_FILES_TEXT", "/z"),
        ("INFRA_WATCH_AGENT_SERVICES", "false"),
    ]);
    let settings = layered(Settings::default(), &environment, Some(&file)).unwrap();
    let files = settings.files().unwrap();
    assert_eq!(files.hashed, ["/x", "/y"]);
    assert_eq!(files.shown, ["/z"]);
    assert!(!settings.services());

    let check = |variable: &str, value: &str, expect: &str| {
        let settings = layered(Settings::default(), &variables(&[(variable, value)]), None);
        let error = settings.and_then(|settings| settings.files()).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(
        "INFRA_WATCH_AGENT_FILES",
        "etc/*",
        "--files etc/*: must be an absolute path",
    );
    check(
        "INFRA_WATCH_AGENT_SERVICES",
        "maybe",
        "INFRA_WATCH_AGENT_SERVICES cannot be understood",
    );
}

#[test]
fn servers() {
    let check = |server: &str, expect: Option<&str>| {
        let settings = Settings {
            server: Some(server.to_owned()),
            ..Settings::default()
        };
        assert_eq!(settings.server_url().ok().as_deref(), expect, "{server}");
    };
    check(
        "https://watch.example.org",
        Some("https://watch.example.org"),
    );
    check("http://127.0.0.1:7420/", Some("http://127.0.0.1:7420"));
    check(
        "https://example.org/watch/",
        Some("https://example.org/watch"),
    );
    check("watch.example.org", None);
    check("ftp://watch.example.org", None);
    check("https://user@watch.example.org", None);
    check("https://watch.example.org/?x=1", None);
    check("", None);
    assert!(Settings::default().server_url().is_err());
}

#[test]
fn bounds() {
    let span = |seconds| Some(Span(Duration::from_secs(seconds)));
    let check = |seconds, expect| {
        let settings = Settings {
            interval: span(seconds),
            ..Settings::default()
        };
        assert_eq!(settings.interval_seconds().is_ok(), expect, "{seconds}");
    };
    check(0, false);
    check(1, true);
    check(86_400, true);
    check(86_401, false);
    assert!(
        Settings {
            snapshot_interval: span(0),
            ..Settings::default()
        }
        .snapshot_interval_seconds()
        .is_err()
    );
    assert!(
        Settings {
            spool_size: Some(Size(1)),
            ..Settings::default()
        }
        .spool_limits()
        .is_err()
    );
}

#[test]
fn state_directories() {
    let check = |set: Option<&str>, is_root, environment: &[(&str, &str)], expect: Option<&str>| {
        let settings = Settings {
            state_dir: set.map(PathBuf::from),
            ..Settings::default()
        };
        let found = settings.state_dir(is_root, &variables(environment)).ok();
        assert_eq!(
            found,
            expect.map(PathBuf::from),
            "{set:?} {is_root} {environment:?}"
        );
    };
    check(Some("/x"), true, &[], Some("/x"));
    check(
        None,
        true,
        &[("HOME", "/root")],
        Some("/var/lib/infra-watch-agent"),
    );
    check(
        None,
        false,
        &[("HOME", "/home/a")],
        Some("/home/a/.local/state/infra-watch-agent"),
    );
    check(
        None,
        false,
        &[("HOME", "/home/a"), ("XDG_STATE_HOME", "/s")],
        Some("/s/infra-watch-agent"),
    );
    check(None, false, &[], None);
}

#[test]
fn exposed_servers() {
    let check = |server, expect| assert_eq!(is_exposed(server), expect, "{server}");
    check("https://watch.example.org", false);
    check("http://watch.example.org", true);
    check("http://10.0.0.5:7420", true);
    check("http://127.0.0.1:7420", false);
    check("http://[::1]:7420", false);
    check("http://localhost:7420", false);
}

//! Tables of names and values, and what is said of each.

use super::*;

#[test]
fn the_built_in_list_is_allowed_and_not_denied() {
    let check = |name: &str, expect: bool| {
        assert_eq!(is_allowed(name, &[]), expect, "{name}");
    };
    for pattern in ALLOWED {
        let name = pattern.replace('*', "TIME");
        check(&name, true);
        assert!(may_be_shown(&name, "x"), "{name} is allowed and denied");
    }
    check("LC_MEASUREMENT", true);
    check("XDG_CONFIG_DIRS", true);
    check("HOME", false);
    check("path", false);
    check("MYPATH", false);
    check("LANG_", false);
    let own = ["APP_*".to_owned(), "*_PASSWORD".to_owned()];
    assert!(is_allowed("APP_MODE", &own) && !is_allowed("MY_APP_MODE", &own));
    // The operator may allow it, and still it is not shown.
    assert!(is_allowed("DB_PASSWORD", &own) && !may_be_shown("DB_PASSWORD", "x"));
}

#[test]
fn names() {
    let check = |name: &str, is_secret: bool| {
        assert_eq!(is_secret_name(name), is_secret, "{name}");
    };
    for secret in [
        "DB_PASSWORD",
        "PASSPHRASE",
        "MYSQL_PWD",
        "CLIENT_SECRET",
        "api_token",
        "SSH_KEY_PATH",
        "CREDENTIALS",
        "AUTHORIZATION",
        "XDG_SESSION_ID",
        "COOKIE_JAR",
        "PRIVATE",
        "TLS_CERT_FILE",
        "SENTRY_DSN",
        "DB_CONNECTION",
        "DATABASE_URL",
        "REDIS_URI",
        "redisUrl",
        "PASSWORD_SALT",
        "SIGNING",
        "HMAC",
        "OTP_SEED",
        "PIN",
        "CARD_PIN",
        "BEARER",
        "LICENSE",
        "SLACK_WEBHOOK",
        "AWS_REGION",
        "AZURE_TENANT",
        "GOOGLE_PROJECT",
        "GITHUB_ACTOR",
        "VAULT_ADDR",
        "KUBECONFIG",
        "KUBERNETES_PORT",
        "JWT",
        "http_proxy",
        "ROOT_PW",
        "OPENAI_ORG",
        "ENCRYPTION",
    ] {
        check(secret, true);
    }
    for plain in [
        "PATH",
        "LANG",
        "LC_ALL",
        "TZ",
        "SHELL",
        "EDITOR",
        "HOSTNAME",
        "XDG_DATA_DIRS",
        "JAVA_HOME",
        "GOROOT",
        "APP_MODE",
        "RUST_LOG",
        "NODE_ENV",
        "HOME",
        "",
    ] {
        check(plain, false);
    }
}

#[test]
fn values() {
    let check = |value: &str, is_secret: bool| {
        assert_eq!(is_secret_value(value), is_secret, "{value}");
    };
    for plain in [
        "",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "/usr/lib/jvm/java-17-openjdk-amd64",
        "/home/alice/.local/share/applications/versions/current/bin",
        "en_US.UTF-8",
        "Asia/Tokyo",
        "Europe/Berlin",
        "web-1.example.org",
        "https://example.org/path",
        "sk-short",
        "task-runner-of-the-night",
        "me@example.org",
        "deadbeef",
        "$HOME/bin:$PATH",
        "0123456789abcdef0123456789abcde",
        "AKIA",
    ] {
        check(plain, false);
    }
    for secret in [
        "-----BEGIN RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "x=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "ghp_0123456789abcdefghij",
        "github_pat_0123456789",
        "token glpat-0123456789",
        "xoxb-1234567890",
        "AKIAABCDEFGHIJKLMNOP",
        "ASIAABCDEFGHIJKLMNOP",
        "sk-abcdefghijkl",
        "sk_live_abcdefghijkl",
        "hvs.abcdefghijkl",
        "npm_abcdefghijkl",
        "pypi-abcdefghijkl",
        "dop_v1_abcdefghijkl",
        "/x:ghp_0123456789abcdefghij",
        "postgres://user:pass@db/app",
        "see https://token@example.org/x for it",
        "user:pass@tcp(db:3306)/app",
        "redis://:pass@cache:6379",
        "https://user:two words@host/",
        "host=db password=hunter2",
        "$6$salt$hash",
        "$HOME $2b$12$hash",
        "root:$y$j9T$salt$hash:19000",
        "{SSHA}abc",
        "Authorization: Bearer abc",
        "0123456789abcdef0123456789abcdef",
        "0123456789ABCDEF0123456789abcdef01",
        "123e4567-e89b-12d3-a456-426614174000",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1",
        "line\nbreak",
        "bell\u{7}",
        "tab\there",
    ] {
        check(secret, true);
    }
    check(&"x".repeat(256), false);
    check(&"x".repeat(257), true);
    // Bytes count, not characters.
    check(&"\u{fc}".repeat(129), true);
}

//! How a host is collected, as it is edited and in words. Pure.

use std::num::NonZeroU64;

use infra_watch_client::types::{
    CollectedBy, Collection, CollectionKind, CollectionSettings, CollectionStep, CreateHost, Host,
    JumpSettings, SshMode, UpdateHost,
};

use crate::alert;
use crate::api::ApiError;
use crate::components::labels;
use crate::pairs::Pairs;

/// What fields hold before anybody wrote into them.
const PRESETS: [(&str, &str); 9] = [
    ("kind", "push"),
    ("interval_seconds", "30s"),
    ("collection.port", "22"),
    ("collection.mode", "command"),
    ("collection.agent_path", "infra-watch-agent"),
    ("collection.endpoint", "127.0.0.1:7421"),
    ("collection.collected_by", "any"),
    ("collection.jump.port", "22"),
    (LOGIN, BACKEND_KEY),
];
/// Which key logs in: no field of the API, which has the key alone.
pub const LOGIN: &str = "login";
/// The backend's own key.
pub const BACKEND_KEY: &str = "backend";
/// A key that the host has for itself.
pub const OWN_KEY: &str = "own";

/// The fields of a form as texts, by the names that the API has for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft(Pairs);

impl Draft {
    /// What a new host begins with.
    pub fn new() -> Self {
        let mut draft = Self(Pairs::new());
        for (name, value) in PRESETS {
            draft.set(name, value);
        }
        draft
    }

    /// A host as it would have been edited, without its secrets.
    pub fn of(host: &Host) -> Self {
        let known = &host.collection;
        let mut draft = Self::new();
        let kind = match known.kind {
            CollectionKind::Ssh => "ssh",
            _ => "http",
        };
        draft.set("kind", kind);
        let jump = known.jump.as_ref();
        let number = |number: Option<u16>| number.map(|number| number.to_string());
        let interval = known
            .interval_seconds
            .map(|seconds| alert::edited(seconds.into()));
        let login = known
            .has_private_key
            .map(|has| if has { OWN_KEY } else { BACKEND_KEY });
        let texts = [
            ("interval_seconds", interval),
            ("collection.url", known.url.clone()),
            ("collection.address", known.address.clone()),
            ("collection.port", number(known.port)),
            ("collection.user", known.user.clone()),
            ("collection.mode", known.mode.map(|mode| mode.to_string())),
            ("collection.agent_path", known.agent_path.clone()),
            ("collection.state_dir", known.state_dir.clone()),
            ("collection.endpoint", known.endpoint.clone()),
            (
                "collection.collected_by",
                known.collected_by.map(|by| by.to_string()),
            ),
            (
                "collection.jump.address",
                jump.map(|jump| jump.address.clone()),
            ),
            ("collection.jump.port", number(jump.map(|jump| jump.port))),
            ("collection.jump.user", jump.map(|jump| jump.user.clone())),
            ("collection.host_key", known.host_key.clone()),
            (
                "collection.certificate_fingerprint",
                known.certificate_fingerprint.clone(),
            ),
            (LOGIN, login.map(str::to_owned)),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                draft.set(name, &text);
            }
        }
        draft
    }

    /// What a field holds.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_default()
    }

    /// Puts a text into a field.
    pub fn set(&mut self, name: &str, text: &str) {
        self.0.set(name, Some(text.to_owned()));
    }

    /// The request for a new host, or which field cannot be part of one.
    pub fn create(&self) -> Result<CreateHost, ApiError> {
        let labels = labels::from_text(self.get("labels"))
            .map_err(|message| ApiError::field("labels", message))?;
        let labels = labels
            .into_iter()
            .map(|(name, value)| Ok((name, ApiError::checked("labels", &value)?)));
        Ok(CreateHost {
            name: ApiError::checked("name", self.get("name").trim())?,
            labels: Some(labels.collect::<Result<_, ApiError>>()?),
            interval_seconds: Some(self.interval()?),
            collection: self.settings(None)?,
        })
    }

    /// The request that changes how a host is collected, or which field cannot be part of one.
    pub fn update(&self, known: &Collection) -> Result<UpdateHost, ApiError> {
        Ok(UpdateHost {
            interval_seconds: Some(self.interval()?),
            collection: Some(self.settings(Some(known))?),
            ..UpdateHost::default()
        })
    }

    fn interval(&self) -> Result<NonZeroU64, ApiError> {
        let seconds = alert::seconds(self.get("interval_seconds"));
        let seconds = seconds.and_then(|seconds| NonZeroU64::new(seconds.try_into().ok()?));
        seconds
            .ok_or_else(|| ApiError::field("interval_seconds", "is not a time such as 30s or 5m"))
    }

    /// How the host is pulled; of one that is known, what stays is left out.
    fn settings(&self, known: Option<&Collection>) -> Result<CollectionSettings, ApiError> {
        let is_http = self.get("kind") == "http";
        let mut new = settings(if is_http {
            CollectionKind::Http
        } else {
            CollectionKind::Ssh
        });
        new.collected_by = self.get("collection.collected_by").parse().ok();
        if is_http {
            const URL: &str = "collection.url";
            new.url = Some(ApiError::checked(URL, self.get(URL).trim())?);
            let pin = known.and_then(|known| known.certificate_fingerprint.as_ref());
            new.certificate_fingerprint = self.other("collection.certificate_fingerprint", pin);
            new.token = self.secret("collection.token");
            return Ok(new);
        }
        let mode = self.get("collection.mode");
        let mode = mode.parse().unwrap_or(SshMode::Command);
        new.mode = Some(mode);
        new.address = Some(self.needed("collection.address")?);
        new.port = Some(self.port("collection.port")?);
        new.user = Some(self.needed("collection.user")?);
        let pin = known.and_then(|known| known.host_key.as_ref());
        new.host_key = self.other("collection.host_key", pin);
        if mode == SshMode::Command {
            new.agent_path = Some(self.needed("collection.agent_path")?);
        }
        if mode == SshMode::Tunnel {
            new.endpoint = Some(self.needed("collection.endpoint")?);
            new.token = self.secret("collection.token");
        } else {
            new.state_dir = Some(self.get("collection.state_dir").trim().to_owned());
        }
        new.private_key = self.private_key(known)?;
        new.jump = self.jump(known)?;
        Ok(new)
    }

    /// The key to log in with: another of the host's own, none any more, or as it was.
    fn private_key<T>(&self, known: Option<&Collection>) -> Result<Option<T>, ApiError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        const FIELD: &str = "collection.private_key";
        let has_own = known.is_some_and(|known| known.has_private_key == Some(true));
        let text = self.get(FIELD).trim();
        let text = match (self.get(LOGIN) == OWN_KEY, text.is_empty()) {
            (true, false) => format!("{text}\n"),
            (true, true) if !has_own => return Err(ApiError::field(FIELD, "must not be empty")),
            (false, _) if has_own => String::new(),
            _ => return Ok(None),
        };
        ApiError::checked(FIELD, &text).map(Some)
    }

    /// The machine in between; one without an address takes the known one away.
    fn jump(&self, known: Option<&Collection>) -> Result<Option<JumpSettings>, ApiError> {
        let address = self.get("collection.jump.address").trim();
        let is_known = known.is_some_and(|known| known.jump.is_some());
        if address.is_empty() {
            return Ok(is_known.then(|| jump("")));
        }
        Ok(Some(JumpSettings {
            port: Some(self.port("collection.jump.port")?),
            user: Some(self.needed("collection.jump.user")?),
            ..jump(address)
        }))
    }

    fn needed(&self, name: &str) -> Result<String, ApiError> {
        match self.get(name).trim() {
            "" => Err(ApiError::field(name, "must not be empty")),
            text => Ok(text.to_owned()),
        }
    }

    /// What was written in place of what is known: a fingerprint of one machine says nothing of another, so that the
    /// known one is not repeated.
    fn other(&self, name: &str, known: Option<&String>) -> Option<String> {
        let text = self.get(name).trim();
        (text != known.map_or("", String::as_str)).then(|| text.to_owned())
    }

    fn secret(&self, name: &str) -> Option<String> {
        Some(self.get(name).trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn port(&self, name: &str) -> Result<NonZeroU64, ApiError> {
        let port = self.get(name).trim().parse::<u16>().ok();
        let port = port.and_then(|port| NonZeroU64::new(port.into()));
        port.ok_or_else(|| ApiError::field(name, "is not a number from 1 to 65535"))
    }
}

/// Settings that leave everything as it is.
pub fn settings(kind: CollectionKind) -> CollectionSettings {
    CollectionSettings {
        kind,
        address: None,
        agent_path: None,
        certificate_fingerprint: None,
        collected_by: None,
        endpoint: None,
        host_key: None,
        jump: None,
        mode: None,
        port: None,
        private_key: None,
        state_dir: None,
        token: None,
        url: None,
        user: None,
    }
}

fn jump(address: &str) -> JumpSettings {
    JumpSettings {
        address: address.to_owned(),
        host_key: None,
        port: None,
        private_key: None,
        user: None,
    }
}

/// The key or certificate that is known of whoever shows another, and the settings that believe in the other.
pub fn changed_key(known: &Collection, shown: &str) -> (String, CollectionSettings) {
    let shown = Some(shown.to_owned());
    let mut new = settings(known.kind);
    if known.kind != CollectionKind::Ssh {
        new.certificate_fingerprint = shown;
        return (
            known.certificate_fingerprint.clone().unwrap_or_default(),
            new,
        );
    }
    // What failed names both keys, and so the machine.
    let is_named = |key: &&String| {
        let error = known.last_error.as_deref().unwrap_or_default();
        let mut words = error.split_whitespace();
        words.any(|word| word.starts_with(key.as_str()))
    };
    let is_own = known.host_key.as_ref().filter(is_named).is_some();
    let between = known.jump.as_ref().filter(|_| !is_own);
    match between.and_then(|between| Some((between, between.host_key.as_ref().filter(is_named)?))) {
        Some((between, key)) => {
            let mut settings = jump(&between.address);
            settings.host_key = shown;
            settings.port = NonZeroU64::new(between.port.into());
            settings.user = Some(between.user.clone());
            new.jump = Some(settings);
            (key.clone(), new)
        }
        None => {
            new.host_key = shown;
            (known.host_key.clone().unwrap_or_default(), new)
        }
    }
}

/// What a step is called once it is passed.
pub fn step(step: CollectionStep, kind: CollectionKind) -> &'static str {
    match step {
        CollectionStep::Resolve => "Name resolved",
        CollectionStep::Connect => "Connected",
        CollectionStep::HostKey if kind == CollectionKind::Http => "Certificate",
        CollectionStep::HostKey => "Host key",
        CollectionStep::Authenticate => "Authenticated",
        CollectionStep::Agent => "Agent found",
        CollectionStep::Report => "Report valid",
    }
}

/// How reports come in.
pub fn way(known: &Collection) -> &'static str {
    match (known.kind, known.is_pushed) {
        (CollectionKind::Push, _) => "pushed by its agent",
        (CollectionKind::Http, false) => "fetched over HTTP",
        (CollectionKind::Http, true) => "pushed, and fetched over HTTP",
        (CollectionKind::Ssh, false) => "fetched over SSH",
        (CollectionKind::Ssh, true) => "pushed, and fetched over SSH",
    }
}

/// Who collects.
pub fn collectors(known: &Collection) -> &'static str {
    match known.collected_by {
        Some(CollectedBy::Backend) => "the backend alone",
        Some(CollectedBy::Collector) => "collectors alone",
        _ => "the backend and collectors",
    }
}

/// The command that says the fingerprint of a host key on its machine.
pub fn key_command(algorithm: &str) -> String {
    let kind = match algorithm {
        "ssh-rsa" | "rsa-sha2-256" | "rsa-sha2-512" => "rsa",
        _ if algorithm.starts_with("ecdsa") => "ecdsa",
        _ => "ed25519",
    };
    format!("ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub")
}

/// Where it is reached.
pub fn place(known: &Collection) -> String {
    let machine = |user: &str, address: &str, port: u16| match address.contains(':') {
        true => format!("{user}@[{address}]:{port}"),
        false => format!("{user}@{address}:{port}"),
    };
    let (Some(user), Some(address)) = (&known.user, &known.address) else {
        return known.url.clone().unwrap_or_default();
    };
    let place = machine(user, address, known.port.unwrap_or(22));
    match &known.jump {
        Some(jump) => format!(
            "{place} through {}",
            machine(&jump.user, &jump.address, jump.port)
        ),
        None => place,
    }
}

/// What is to be done on machines before a host can be collected: where, and the line to copy.
pub fn preparations(known: &Collection) -> Vec<(String, String)> {
    let into =
        |user: &str, machine: &str| format!("Into ~{user}/.ssh/authorized_keys on {machine}");
    let mut lines = Vec::new();
    if let (Some(line), Some(user), Some(address)) =
        (&known.authorized_keys, &known.user, &known.address)
    {
        lines.push((into(user, address), line.clone()));
    }
    if let Some(jump) = &known.jump
        && let Some(line) = &jump.authorized_keys
    {
        lines.push((into(&jump.user, &jump.address), line.clone()));
    }
    let url = known.url.as_deref();
    let listen = match url {
        Some(url) => Some(format!("0.0.0.0:{}", port(url))),
        None => known
            .endpoint
            .clone()
            .filter(|_| known.mode == Some(SshMode::Tunnel)),
    };
    if let Some(listen) = listen {
        let tls = if url.is_some_and(|url| url.starts_with("https:")) {
            " --tls-cert CERTIFICATE --tls-key KEY"
        } else {
            ""
        };
        let command = format!("infra-watch-agent serve --listen {listen} --token-file FILE{tls}");
        lines.push((
            "The agent on the host, with the token in FILE".to_owned(),
            command,
        ));
    }
    lines
}

/// The port of an agent's endpoint: the URL's, or else the usual one.
fn port(url: &str) -> u16 {
    let after = url.rsplit(':').next().unwrap_or_default();
    let port = after.split('/').next().unwrap_or_default();
    port.parse().unwrap_or(7421)
}

#[cfg(test)]
mod tests;

//! Made-up agents with endpoints: each has measured something at every multiple of its interval, and tells what is
//! asked for, as often as it is asked.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use infra_watch::clock::Clock;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

/// The token that they ask for.
pub const TOKEN: &str = "a token for made-up agents";
/// Most points of one answer.
const MAX_POINTS: i64 = 1_000;

/// One made-up agent.
pub struct Agent {
    pub address: SocketAddr,
    pub install_id: Uuid,
    /// When it was asked, by its clock.
    asked_at: Mutex<Vec<DateTime<Utc>>>,
    /// Nobody is answered while it is closed.
    is_open: watch::Sender<bool>,
    interval_seconds: i64,
    born_at: i64,
    clock: Arc<dyn Clock>,
}

impl Agent {
    pub fn url(&self) -> String {
        format!("http://{}/report", self.address)
    }

    /// When it was asked.
    pub fn asked_at(&self) -> Vec<DateTime<Utc>> {
        self.asked_at.lock().clone()
    }

    /// Lets whoever asks wait.
    pub fn close(&self) {
        self.is_open.send_replace(false);
    }

    /// Answers again.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// What it measured at a moment.
    pub fn value(&self, at: i64) -> f64 {
        ((at + i64::from(self.address.port())) % 97) as f64
    }

    /// The moments it measured in a span, ends included.
    pub fn moments(&self, from: i64, to: i64) -> Vec<i64> {
        let interval = self.interval_seconds;
        let first = from.max(self.born_at);
        let first = first + (-first).rem_euclid(interval);
        (0..)
            .map(|step| first + step * interval)
            .take_while(|at| *at <= to)
            .collect()
    }

    fn report(&self, since: Option<i64>) -> Value {
        let now = self.clock.now();
        self.asked_at.lock().push(now);
        let now = now.timestamp();
        let from = since.map_or(now - self.interval_seconds + 1, |since| since + 1);
        let from = from.max(now - MAX_POINTS * self.interval_seconds);
        let points = self.moments(from, now);
        let points = points
            .iter()
            .map(|at| json!({ "at": at, "values": [self.value(*at), 100_000 + at % 1000] }));
        json!({
            "report_id": Uuid::new_v4(),
            "agent_version": "0.1.0",
            "sent_at": DateTime::from_timestamp(now, 0),
            "interval_seconds": self.interval_seconds,
            "snapshot_interval_seconds": 3600,
            "host": {
                "install_id": self.install_id, "hostname": format!("host-{}", self.address.port()),
                "machine_id": self.install_id, "boot_id": "b", "os": "Debian GNU/Linux 12 (bookworm)",
                "os_family": "linux", "kernel": "6.1.0-28-amd64", "architecture": "x86_64",
                "addresses": ["10.0.0.5"], "cpu_count": 2, "memory_bytes": 25_769_803_776_u64,
            },
            "series": [{ "metric": "cpu_usage_percent" }, { "metric": "uptime_seconds" }],
            "points": points.collect::<Vec<_>>(),
        })
    }
}

/// Made-up agents that serve until they are dropped.
pub struct Agents {
    pub all: Vec<Arc<Agent>>,
    _serving: JoinSet<()>,
}

impl Agents {
    /// So many, which have measured since `born_at`.
    pub async fn start(
        count: usize,
        interval_seconds: i64,
        born_at: i64,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (mut all, mut serving) = (Vec::new(), JoinSet::new());
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let agent = Arc::new(Agent {
                address: listener.local_addr().unwrap(),
                install_id: Uuid::new_v4(),
                asked_at: Mutex::default(),
                is_open: watch::channel(true).0,
                interval_seconds,
                born_at,
                clock: Arc::clone(&clock),
            });
            all.push(Arc::clone(&agent));
            serving.spawn(serve(listener, agent));
        }
        Self {
            all,
            _serving: serving,
        }
    }
}

async fn serve(listener: TcpListener, agent: Arc<Agent>) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let agent = Arc::clone(&agent);
        // Who hangs up has heard enough.
        connections.spawn(async move { drop(talk(stream, &agent).await) });
    }
}

async fn talk(mut stream: TcpStream, agent: &Agent) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            request.extend_from_slice(&buffer[..count]);
        }
        let head = String::from_utf8(std::mem::take(&mut request)).unwrap();
        let target = head.split(' ').nth(1).unwrap_or_default();
        let since = target
            .split(['?', '&'])
            .find_map(|part| part.strip_prefix("since="))
            .map(|since| since.parse().unwrap());
        let is_allowed = head
            .to_lowercase()
            .contains(&format!("authorization: bearer {TOKEN}"));
        let mut is_open = agent.is_open.subscribe();
        drop(is_open.wait_for(|is_open| *is_open).await);
        let (status, body) = if is_allowed {
            ("200 OK", agent.report(since).to_string())
        } else {
            ("401 Unauthorized", "{}".to_owned())
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}

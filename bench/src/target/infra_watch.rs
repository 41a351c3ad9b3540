//! Infra-Watch: enrolled hosts, reports in, columns out.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Disk, Job, Site, Target};
use crate::clock;
use crate::data::{METRICS, host_name};
use crate::load::client::Client;
use crate::load::pool::{Happening, OPENED_TOGETHER, Pool};
use crate::process::{allocated_bytes, first_line};
use crate::question::{Points, Question, SIX, TOP};
use crate::wire::{Credentials, Reports, Wire, install_id, write_post};

const ENROLLMENT_KEY: &str = "a key for benches, long enough";
/// How often it is tried to run a job, and how long it is waited in between.
const JOB_TRIES: u32 = 60;
const JOB_PAUSE: Duration = Duration::from_secs(2);
/// How often an enrolment is tried again on a new connection.
const RETRIES: usize = 100;

/// Our own backend.
pub struct InfraWatch {
    binary: PathBuf,
    site: Site,
    hosts: Rc<Vec<Credentials>>,
}

impl InfraWatch {
    /// Name of the admin that the backend makes at its first start.
    pub const USERNAME: &str = "admin";
    /// The admin's password.
    pub const PASSWORD: &str = "correct horse battery";

    /// A backend that lives in a directory.
    pub fn new(binary: &Path, directory: PathBuf) -> Result<Self> {
        Ok(Self {
            binary: binary.to_owned(),
            site: Site::new(directory)?,
            hosts: Rc::default(),
        })
    }

    fn host_id(&self, host: usize) -> &str {
        self.hosts
            .get(host)
            .map_or("unknown", |host| host.host_id.as_str())
    }

    /// Runs a job; false when this build has none of that name.
    fn run_job(&self, name: &str) -> Result<bool> {
        let path = format!("/api/v1/system/jobs/{name}/run");
        for _ in 0..JOB_TRIES {
            let answer = self.client()?.post(&path, "")?;
            match answer.status {
                404 => return Ok(false),
                200..300 => return Ok(true),
                // It is under way already.
                409 | 503 => clock::pause(JOB_PAUSE),
                status => bail!(
                    "the job {name} answered {status}: {}",
                    String::from_utf8_lossy(&answer.body)
                ),
            }
        }
        bail!("the job {name} is always under way")
    }
}

impl Target for InfraWatch {
    fn name(&self) -> &'static str {
        "infra-watch"
    }

    fn version(&self) -> Result<String> {
        first_line(Command::new(&self.binary).arg("--version"))
    }

    fn site(&self) -> &Site {
        &self.site
    }

    fn site_mut(&mut self) -> &mut Site {
        &mut self.site
    }

    fn start(&mut self) -> Result<Duration> {
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .env("INFRA_WATCH_ADMIN_USERNAME", Self::USERNAME)
            .env("INFRA_WATCH_ADMIN_PASSWORD", Self::PASSWORD)
            .env("INFRA_WATCH_ENROLLMENT_KEY", ENROLLMENT_KEY)
            .args(["serve", "--drain", "0s", "--log", "warn", "--listen"])
            .arg(self.site.address.to_string())
            .arg("--data-dir")
            .arg(self.site.data());
        self.site.start(command, "/readyz")
    }

    fn introduce(&mut self, hosts: Range<usize>) -> Result<()> {
        ensure!(hosts.start == self.hosts.len(), "hosts come in order");
        let enrolled = enroll(&self.site, hosts)?;
        Rc::make_mut(&mut self.hosts).extend(enrolled);
        Ok(())
    }

    fn wire(&self) -> Box<dyn Wire> {
        Box::new(Reports::new(self.site.address, Rc::clone(&self.hosts)))
    }

    fn disk(&self) -> Result<Disk> {
        let series_bytes = allocated_bytes(&self.site.data().join("series.redb"))?;
        let all = allocated_bytes(&self.site.data())?;
        Ok(Disk {
            series_bytes,
            state_bytes: all.saturating_sub(series_bytes),
        })
    }

    fn run(&mut self, job: Job) -> Result<Option<Disk>> {
        let name = match job {
            Job::Seal => "seal",
            Job::Repack => "repack",
            Job::Rollup => "rollup",
        };
        if !self.run_job(name)? {
            return Ok(None);
        }
        // What a job frees is given back to the file system by another one, where there is one.
        self.run_job("compact")?;
        self.disk().map(Some)
    }

    fn client(&self) -> Result<Client> {
        let login = json!({ "username": Self::USERNAME, "password": Self::PASSWORD }).to_string();
        let mut client = Client::new(self.site.address, None);
        let answer = client.post("/api/v1/auth/login", &login)?.json()?;
        let token = answer["access_token"].as_str().context("no access token")?;
        Ok(Client::new(self.site.address, Some(token.to_owned())))
    }

    fn path(&self, question: Question, host: usize, last_at: i64) -> String {
        let (window, cpu) = (question.window(last_at), METRICS[0].name);
        let range = format!("from={}&to={}", window.from, window.to);
        let of_host = format!("/api/v1/hosts/{}", self.host_id(host));
        match question {
            Question::RawDay => format!("{of_host}/samples?metric={cpu}&{range}"),
            Question::SixTrends => {
                let metrics = SIX.map(|gauge| format!("metric={}", METRICS[gauge].name));
                let metrics = metrics.join("&");
                format!("{of_host}/trends?{metrics}&{range}&step=300&aggregate=avg")
            }
            Question::WeekMax => {
                format!("{of_host}/trends?metric={cpu}&{range}&step=3600&aggregate=max")
            }
            Question::Latest => {
                format!("/api/v1/top?metric={cpu}&aggregate=last&{range}&limit=1000")
            }
            Question::Top => {
                format!("/api/v1/top?metric={cpu}&aggregate=avg&{range}&limit={TOP}")
            }
        }
    }

    fn points(&self, question: Question, body: &[u8]) -> Result<Points> {
        let answer: Value = serde_json::from_slice(body)?;
        let list = |value: &Value| value.as_array().cloned().context("a list is missing");
        let mut points = Points::new();
        if matches!(question, Question::Latest | Question::Top) {
            for item in list(&answer["items"])? {
                let name = item["name"].as_str().context("no name")?.to_owned();
                let value = item["value"].as_f64().context("no value")?;
                points.insert(name, [(0, value)].into());
            }
            return Ok(points);
        }
        let timestamps = list(&answer["timestamps"])?;
        for series in list(&answer["series"])? {
            let metric = series["metric"].as_str().context("no metric")?.to_owned();
            let named = points.entry(metric).or_default();
            for (at, value) in timestamps.iter().zip(list(&series["values"])?) {
                if let Some(value) = value.as_f64() {
                    named.insert(at.as_i64().context("no time")?, value);
                }
            }
        }
        Ok(points)
    }

    fn samples_path(&self, host: usize, from: i64, to: i64) -> String {
        let (host_id, cpu) = (self.host_id(host), METRICS[0].name);
        format!("/api/v1/hosts/{host_id}/samples?metric={cpu}&from={from}&to={to}")
    }
}

/// Enrols hosts, some at a time.
fn enroll(site: &Site, hosts: Range<usize>) -> Result<Vec<Credentials>> {
    let headers =
        format!("Authorization: Bearer {ENROLLMENT_KEY}\r\nContent-Type: application/json\r\n");
    let mut pool = Pool::new(site.address, OPENED_TOGETHER.min(hosts.len()))?;
    let begin = |pool: &mut Pool, lane: usize, host: usize| {
        let body = json!({
            "install_id": install_id(host), "machine_id": format!("{host:032x}"),
            "hostname": host_name(host), "agent_version": "0.1.0",
        });
        let (path, body) = ("/api/v1/agent/enroll", body.to_string());
        pool.send(lane, |request| {
            write_post(request, site.address, path, &headers, body.as_bytes());
        })
    };
    let mut enrolled: Vec<Option<Credentials>> = vec![None; hosts.len()];
    let mut next = hosts.clone();
    let mut under_way = vec![None; pool.lanes()];
    for (lane, current) in under_way.iter_mut().enumerate() {
        *current = next.next();
        if let Some(host) = *current {
            begin(&mut pool, lane, host)?;
        }
    }
    let (mut happenings, mut retries) = (Vec::new(), 0);
    while under_way.iter().any(Option::is_some) {
        pool.wait(Duration::from_secs(10), &mut happenings)?;
        for happening in happenings.drain(..) {
            match happening {
                Happening::Answered {
                    lane, status, body, ..
                } => {
                    let Some(host) = under_way[lane] else {
                        continue;
                    };
                    let answer: Value = serde_json::from_slice(&body)?;
                    let text = |name: &str| answer[name].as_str().map(str::to_owned);
                    let (Some(host_id), Some(token)) = (text("host_id"), text("token")) else {
                        bail!("enrolling was answered {status}: {answer}");
                    };
                    enrolled[host - hosts.start] = Some(Credentials { host_id, token });
                    under_way[lane] = next.next();
                    if let Some(host) = under_way[lane] {
                        begin(&mut pool, lane, host)?;
                    }
                }
                Happening::Broken { lane, reason } => {
                    retries += 1;
                    ensure!(retries <= RETRIES, "enrolling: {reason}");
                    if let Some(host) = under_way[lane] {
                        begin(&mut pool, lane, host)?;
                    }
                }
            }
        }
    }
    let enrolled: Option<Vec<_>> = enrolled.into_iter().collect();
    enrolled.context("a host was not enrolled")
}

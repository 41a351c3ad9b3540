//! Posts to Infra-Watch: an agent's reports in JSON.

use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;

use super::{Post, Wire, write_post};
use crate::clock;
use crate::data::{METRICS, STEP_SECONDS, host_name};

/// Who a host is to the backend.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Its id.
    pub host_id: String,
    /// Its bearer token.
    pub token: String,
}

/// Reports of all hosts.
pub struct Reports {
    address: SocketAddr,
    hosts: Rc<Vec<Credentials>>,
    /// Hosts that have said what they are.
    introduced: Vec<bool>,
    /// `"series":[…]`, the same in every report.
    series: String,
    sent_at: String,
    sent: u64,
    headers: String,
    body: Vec<u8>,
}

impl Reports {
    /// Reports of these hosts, to be sent about now.
    pub fn new(address: SocketAddr, hosts: Rc<Vec<Credentials>>) -> Self {
        let series: Vec<_> = METRICS
            .iter()
            .map(|metric| match metric.instance {
                Some(instance) => {
                    format!(r#"{{"metric":"{}","instance":"{instance}"}}"#, metric.name)
                }
                None => format!(r#"{{"metric":"{}"}}"#, metric.name),
            })
            .collect();
        Self {
            address,
            introduced: vec![false; hosts.len()],
            hosts,
            series: format!(r#""series":[{}]"#, series.join(",")),
            sent_at: clock::rfc3339(clock::unix_now()),
            sent: 0,
            headers: String::new(),
            body: Vec::new(),
        }
    }

    fn write_body(&mut self, post: &Post<'_>) -> std::io::Result<()> {
        let body = &mut self.body;
        body.clear();
        self.sent += 1;
        let report_id = uuid(post.host as u64, self.sent);
        let sent_at = &self.sent_at;
        write!(
            body,
            r#"{{"report_id":"{report_id}","agent_version":"0.1.0","sent_at":"{sent_at}","interval_seconds":{STEP_SECONDS},"snapshot_interval_seconds":3600,"#
        )?;
        if !std::mem::replace(&mut self.introduced[post.host], true) {
            write_facts(body, post.host)?;
        }
        write!(body, r#"{},"points":["#, self.series)?;
        for (number, (at, values)) in post.points().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(body, r#"{comma}{{"at":{at},"values":["#)?;
            for (number, value) in values.iter().enumerate() {
                let comma = if number == 0 { "" } else { "," };
                write!(body, "{comma}{value}")?;
            }
            body.extend_from_slice(b"]}");
        }
        body.extend_from_slice(b"]}");
        Ok(())
    }
}

impl Wire for Reports {
    fn render(&mut self, post: &Post<'_>, request: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        drop(self.write_body(post));
        self.headers.clear();
        self.headers.push_str("Authorization: Bearer ");
        self.headers.push_str(&self.hosts[post.host].token);
        self.headers
            .push_str("\r\nContent-Type: application/json\r\n");
        write_post(
            request,
            self.address,
            "/api/v1/agent/reports",
            &self.headers,
            &self.body,
        );
    }

    fn is_accepted(&self, status: u16, body: &[u8]) -> bool {
        const NONE: &[u8] = br#""rejected":[]"#;
        status == 202 && body.windows(NONE.len()).any(|part| part == NONE)
    }
}

fn write_facts(body: &mut Vec<u8>, host: usize) -> std::io::Result<()> {
    let (install_id, name) = (install_id(host), host_name(host));
    let (high, low) = (host / 250 % 250, host % 250 + 1);
    write!(
        body,
        r#""host":{{"install_id":"{install_id}","hostname":"{name}","machine_id":"{host:032x}","boot_id":"{host:032x}","os":"Debian GNU/Linux 12 (bookworm)","os_family":"linux","kernel":"6.1.0-28-amd64","architecture":"x86_64","addresses":["10.0.{high}.{low}"],"cpu_count":2,"memory_bytes":8589934592}},"#
    )
}

/// A made-up host's identity.
pub fn install_id(host: usize) -> String {
    uuid(host as u64, 0)
}

fn uuid(high: u64, low: u64) -> String {
    let (a, b) = (high >> 16 & 0xffff_ffff, high & 0xffff);
    format!("{a:08x}-{b:04x}-4000-8000-{:012x}", low & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_report_is_json_and_only_the_first_says_what_the_host_is() {
        let host = Credentials {
            host_id: "id".to_owned(),
            token: "secret".to_owned(),
        };
        let mut wire = Reports::new(([127, 0, 0, 1], 1).into(), Rc::new(vec![host]));
        let rows = [[1.25; 12], [2.0; 12]];
        let post = Post {
            host: 0,
            first_at: 60,
            step_seconds: 30,
            rows: &rows,
        };
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let mut request = Vec::new();
            wire.render(&post, &mut request);
            let text = String::from_utf8(request).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("Authorization: Bearer secret\r\n"));
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
            bodies.push(serde_json::from_str::<Value>(body).unwrap());
        }
        assert_eq!(bodies[0]["host"]["hostname"], "vm-0000");
        assert_eq!(bodies[1].get("host"), None);
        assert_eq!(bodies[0]["series"][3]["instance"], "/");
        assert_eq!(
            bodies[1]["points"][1],
            json!({"at": 90, "values": vec![2; 12]})
        );
        assert_ne!(bodies[0]["report_id"], bodies[1]["report_id"]);
    }
}

//! Posts to the peers: Prometheus remote write, protobuf by hand, compressed with snappy.

use std::collections::HashMap;
use std::net::SocketAddr;

use snap::raw::{Encoder, max_compress_len};

use super::{Post, Wire, write_post};
use crate::data::{METRICS, host_name};

const HEADERS: &str = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n";
/// Tags of protobuf fields: the number shifted by three, and the wire type.
const FIELD_1_DELIMITED: u8 = 1 << 3 | 2;
const FIELD_2_DELIMITED: u8 = 2 << 3 | 2;
const FIELD_1_DOUBLE: u8 = 1 << 3 | 1;
const FIELD_2_VARINT: u8 = 2 << 3;

/// Remote write of all hosts.
pub struct RemoteWrite {
    address: SocketAddr,
    /// The encoded labels of each series of a host.
    labels: HashMap<usize, Vec<Vec<u8>>>,
    encoder: Encoder,
    series: Vec<u8>,
    message: Vec<u8>,
    compressed: Vec<u8>,
}

impl RemoteWrite {
    /// Remote write to this address.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            labels: HashMap::new(),
            encoder: Encoder::new(),
            series: Vec::new(),
            message: Vec::new(),
            compressed: Vec::new(),
        }
    }

    /// `WriteRequest { timeseries = 1: [TimeSeries { labels = 1, samples = 2 }] }`.
    fn write_message(&mut self, post: &Post<'_>) {
        let labels = self
            .labels
            .entry(post.host)
            .or_insert_with(|| labels(&host_name(post.host)));
        self.message.clear();
        for (gauge, labels) in labels.iter().enumerate() {
            self.series.clear();
            self.series.extend_from_slice(labels);
            for (at, values) in post.points() {
                write_sample(&mut self.series, at, values[gauge]);
            }
            write_delimited(&mut self.message, FIELD_1_DELIMITED, &self.series);
        }
    }
}

impl Wire for RemoteWrite {
    fn render(&mut self, post: &Post<'_>, request: &mut Vec<u8>) {
        self.write_message(post);
        self.compressed
            .resize(max_compress_len(self.message.len()), 0);
        // It fails only for messages of 4 GiB; then the target says that the body is empty.
        let length = self
            .encoder
            .compress(&self.message, &mut self.compressed)
            .unwrap_or_default();
        write_post(
            request,
            self.address,
            "/api/v1/write",
            HEADERS,
            &self.compressed[..length],
        );
    }

    fn is_accepted(&self, status: u16, _body: &[u8]) -> bool {
        (200..300).contains(&status)
    }
}

/// `Label { name = 1, value = 2 }` of each series of a host, sorted by name.
fn labels(host: &str) -> Vec<Vec<u8>> {
    let series = METRICS.iter().map(|metric| {
        let mut encoded = Vec::new();
        let instance = metric.instance.map(|instance| ("instance", instance));
        let named = [("__name__", metric.name), ("host", host)];
        for (name, value) in named.into_iter().chain(instance) {
            let mut label = Vec::new();
            write_delimited(&mut label, FIELD_1_DELIMITED, name.as_bytes());
            write_delimited(&mut label, FIELD_2_DELIMITED, value.as_bytes());
            write_delimited(&mut encoded, FIELD_1_DELIMITED, &label);
        }
        encoded
    });
    series.collect()
}

/// `Sample { value = 1: double, timestamp = 2: milliseconds }` as field 2 of its series.
fn write_sample(series: &mut Vec<u8>, at: i64, value: f64) {
    let mut sample = Vec::with_capacity(20);
    sample.push(FIELD_1_DOUBLE);
    sample.extend_from_slice(&value.to_le_bytes());
    sample.push(FIELD_2_VARINT);
    write_varint(&mut sample, at.unsigned_abs() * 1_000);
    write_delimited(series, FIELD_2_DELIMITED, &sample);
}

fn write_delimited(message: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    message.push(tag);
    write_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn write_varint(message: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return number;
            }
        }
        panic!("too long a varint");
    }

    /// The fields of a message whose every field is delimited.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            assert_eq!(tag & 7, 2);
            let length = varint(&mut bytes) as usize;
            let (field, rest) = bytes.split_at(length);
            bytes = rest;
            fields.push((tag >> 3, field));
        }
        fields
    }

    fn sample(mut bytes: &[u8]) -> (u64, f64) {
        assert_eq!(varint(&mut bytes), u64::from(FIELD_1_DOUBLE));
        let (value, mut rest) = bytes.split_at(8);
        assert_eq!(varint(&mut rest), u64::from(FIELD_2_VARINT));
        (
            varint(&mut rest),
            f64::from_le_bytes(value.try_into().unwrap()),
        )
    }

    #[test]
    fn a_body_decodes_to_what_went_in() {
        let mut rows = [[0.0; 12]; 2];
        for (number, value) in rows.as_flattened_mut().iter_mut().enumerate() {
            *value = number as f64 + 0.25;
        }
        let post = Post {
            host: 7,
            first_at: 1_795_000_000,
            step_seconds: 30,
            rows: &rows,
        };
        let mut request = Vec::new();
        RemoteWrite::new(([127, 0, 0, 1], 1).into()).render(&post, &mut request);
        let head = request
            .windows(4)
            .position(|part| part == b"\r\n\r\n")
            .unwrap()
            + 4;
        let message = snap::raw::Decoder::new()
            .decompress_vec(&request[head..])
            .unwrap();
        let series = fields(&message);
        assert_eq!(series.len(), 12);
        let disk = fields(series[3].1);
        let labels: Vec<_> = disk[..3]
            .iter()
            .map(|(number, label)| {
                assert_eq!(*number, 1);
                let label = fields(label);
                assert_eq!((label[0].0, label[1].0), (1, 2));
                (label[0].1, label[1].1)
            })
            .collect();
        assert_eq!(labels[0], (&b"__name__"[..], &b"disk_usage_percent"[..]));
        assert_eq!(labels[1], (&b"host"[..], &b"vm-0007"[..]));
        assert_eq!(labels[2], (&b"instance"[..], &b"/"[..]));
        let samples: Vec<_> = disk[3..].iter().map(|field| sample(field.1)).collect();
        assert_eq!(
            samples,
            [(1_795_000_000_000, 3.25), (1_795_000_030_000, 15.25)]
        );
    }
}

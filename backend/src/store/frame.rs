//! How points are written to the log: frames, each the points of one host in one slot.
//!
//! A frame is `host, received_at, series…, rows, times…, columns…`, numbers as LEB128. Times rise and are written as
//! differences. A column is written as whole numbers after exact decimal scaling with zigzag differences, else as
//! plain `f64`.

use std::sync::Arc;

use super::decimal::{MAX_SCALE, common_scale, scaled, unscaled};
use super::varint::{
    DecodeError, put_signed, put_unsigned, take, take_array, take_count, take_signed, take_u32,
};
use crate::domain::report::Point;

/// Tag of a column of plain `f64`.
const TAG_PLAIN: u8 = 7;
/// Bit of a column's tag: a bitmap of the rows that have a value follows.
const TAG_HAS_GAPS: u8 = 0x10;

/// The points of one host in one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The host's number.
    pub host: u32,
    /// When they arrived, Unix seconds.
    pub received_at: i64,
    /// The host's series, by number: one column each.
    pub series: Arc<[u32]>,
    /// In the order of time, each with a value or nothing for each series.
    pub rows: Vec<Point>,
}

/// Appends a frame to a value of the log: rows of one slot in the order of time.
pub fn encode(out: &mut Vec<u8>, host: u32, received_at: i64, series: &[u32], rows: &[Point]) {
    put_unsigned(out, u64::from(host));
    put_signed(out, received_at);
    put_unsigned(out, series.len() as u64);
    for number in series {
        put_unsigned(out, u64::from(*number));
    }
    put_unsigned(out, rows.len() as u64);
    let mut previous = 0;
    for row in rows {
        put_signed(out, row.at - previous);
        previous = row.at;
    }
    let mut values = Vec::with_capacity(rows.len());
    for column in 0..series.len() {
        values.clear();
        values.extend(
            rows.iter()
                .filter_map(|row| row.values.get(column).copied().flatten()),
        );
        encode_column(out, rows, column, &values);
    }
}

fn encode_column(out: &mut Vec<u8>, rows: &[Point], column: usize, values: &[f64]) {
    let gaps = if values.len() == rows.len() {
        0
    } else {
        TAG_HAS_GAPS
    };
    let scale = common_scale(values.iter().copied())
        .filter(|scale| values.iter().all(|value| scaled(*value, *scale).is_some()));
    out.push(scale.unwrap_or(TAG_PLAIN) | gaps);
    if gaps != 0 {
        for eight in rows.chunks(8) {
            out.push(eight.iter().enumerate().fold(0, |bits, (bit, row)| {
                bits | u8::from(row.values.get(column).copied().flatten().is_some()) << bit
            }));
        }
    }
    let mut previous = 0;
    for value in values {
        match scale.and_then(|scale| scaled(*value, scale)) {
            Some(whole) => {
                put_signed(out, whole - previous);
                previous = whole;
            }
            None => out.extend_from_slice(&value.to_le_bytes()),
        }
    }
}

/// Reads every frame of a value of the log.
///
/// # Errors
/// When the value is not what [`encode`] wrote.
pub fn decode(mut bytes: &[u8], mut each: impl FnMut(Frame)) -> Result<(), DecodeError> {
    while !bytes.is_empty() {
        each(decode_frame(&mut bytes)?);
    }
    Ok(())
}

fn decode_frame(bytes: &mut &[u8]) -> Result<Frame, DecodeError> {
    let host = take_u32(bytes)?;
    let received_at = take_signed(bytes)?;
    let columns = take_count(bytes)?;
    let series = (0..columns)
        .map(|_| take_u32(bytes))
        .collect::<Result<Arc<[u32]>, _>>()?;
    let count = take_count(bytes)?;
    // A column takes at least a bit of each row.
    if count.saturating_mul(columns) / 8 > bytes.len() {
        return Err(DecodeError::Short);
    }
    let mut at = 0_i64;
    let mut rows = (0..count)
        .map(|_| {
            at = at
                .checked_add(take_signed(bytes)?)
                .ok_or(DecodeError::Damaged)?;
            Ok(Point {
                at,
                values: vec![None; columns],
            })
        })
        .collect::<Result<Vec<_>, DecodeError>>()?;
    for column in 0..columns {
        decode_column(bytes, &mut rows, column)?;
    }
    Ok(Frame {
        host,
        received_at,
        series,
        rows,
    })
}

fn decode_column(bytes: &mut &[u8], rows: &mut [Point], column: usize) -> Result<(), DecodeError> {
    let [tag] = take_array(bytes)?;
    let gaps = if tag & TAG_HAS_GAPS == 0 {
        None
    } else {
        Some(take(bytes, rows.len().div_ceil(8))?)
    };
    let scale = match tag & !TAG_HAS_GAPS {
        TAG_PLAIN => None,
        scale if scale <= MAX_SCALE => Some(scale),
        _ => return Err(DecodeError::Damaged),
    };
    let mut previous = 0_i64;
    for (index, row) in rows.iter_mut().enumerate() {
        let is_present = gaps.is_none_or(|bits| {
            bits.get(index / 8)
                .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
        });
        if !is_present {
            continue;
        }
        let value = match scale {
            Some(scale) => {
                previous = previous
                    .checked_add(take_signed(bytes)?)
                    .ok_or(DecodeError::Damaged)?;
                unscaled(previous, scale)
            }
            None => f64::from_le_bytes(take_array(bytes)?),
        };
        if let Some(cell) = row.values.get_mut(column) {
            *cell = Some(value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(frame: &Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(
            &mut bytes,
            frame.host,
            frame.received_at,
            &frame.series,
            &frame.rows,
        );
        let mut back = Vec::new();
        decode(&bytes, |frame| back.push(frame)).unwrap();
        assert_eq!(back.len(), 1);
        let bits = |frame: &Frame| -> Vec<Vec<Option<u64>>> {
            frame
                .rows
                .iter()
                .map(|row| {
                    row.values
                        .iter()
                        .map(|value| value.map(f64::to_bits))
                        .collect()
                })
                .collect()
        };
        assert_eq!(bits(&back[0]), bits(frame));
        assert_eq!(back[0], *frame);
        bytes
    }

    #[test]
    fn an_ordinary_post_is_small() {
        let values: Vec<Option<f64>> = (0..20)
            .map(|number| Some(f64::from(number * 311) / 100.0))
            .collect();
        let frame = Frame {
            host: 300,
            received_at: 1_763_881_201,
            series: (0..20).collect(),
            rows: vec![Point {
                at: 1_763_881_200,
                values,
            }],
        };
        let bytes = round_trip(&frame);
        assert!(bytes.len() < 20 * 5, "{} bytes for 20 values", bytes.len());
    }

    #[test]
    fn odd_numbers_survive() {
        let odd = [
            0.0,
            -0.0,
            0.1,
            0.1 + 0.2,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            -1e15,
            1e300,
            9_007_199_254_740_993.0,
        ];
        for value in odd {
            round_trip(&Frame {
                host: 1,
                received_at: 0,
                series: [4].into(),
                rows: vec![
                    Point {
                        at: 7,
                        values: vec![Some(value)],
                    },
                    Point {
                        at: 8,
                        values: vec![None],
                    },
                ],
            });
        }
    }

    proptest! {
        #[test]
        fn every_finite_number_survives(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of(prop_oneof![
                any::<f64>().prop_filter("finite", |value| value.is_finite()),
                (-1_000_000_i64..1_000_000).prop_map(|value| value as f64 / 100.0),
            ]), 3), 0..20),
            start in 0_i64..4_000_000_000,
        ) {
            let rows = (start..).step_by(30).zip(rows).map(|(at, values)| Point { at, values }).collect();
            round_trip(&Frame { host: 9, received_at: start, series: [0, 7, 70_000].into(), rows });
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, |_| {});
        }
    }
}

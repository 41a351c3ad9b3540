//! How sealed points are kept: a row for each host and slot or day, with one column of times that all series share.
//!
//! A row is `version, pco header, times, columns, directory (series, bytes)…, column…`. A column begins with a tag and
//! a summary (least, greatest, sum, last), so that averages and top lists decode nothing. Its values are whole numbers
//! after exact decimal scaling, less the least of them and as narrow as they fit, in [pco](https://docs.rs/pco); a
//! constant is its one value; what no scale takes is `f64`, also in pco. Every finite `f64` comes back bit for bit.

mod block;
mod decode;
mod encode;

use pco::ChunkConfig;

pub use self::block::Block;
pub use self::decode::Row;
pub use self::encode::encode;

/// First byte of every row.
const VERSION: u8 = 1;
/// Whole numbers that lie further apart are kept as `f64`: sums of a day stay within 64 bits.
const MAX_RANGE: u64 = 1 << 48;
/// Columns with fewer values are also tried without pco, whose description of itself is then the larger part.
const SMALL_COLUMN: usize = 64;
/// Most moments of a row: a day at one a second, and as many again that arrived between.
const MAX_ROWS: usize = 2 * 86_400;

const KIND_CONSTANT: u8 = 0;
const KIND_PACKED: u8 = 1;
const KIND_DELTAS: u8 = 2;
const KIND_PLAIN: u8 = 3;
const KIND_MASK: u8 = 0b11;
const TAG_HAS_GAPS: u8 = 0b100;
const SCALE_SHIFT: u32 = 4;

/// How hard the encoder tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For slots, which are repacked within a day or two.
    Slot,
    /// For days, which stay for weeks.
    Day,
}

impl Effort {
    fn config(self) -> ChunkConfig {
        let level = match self {
            Self::Slot => 4,
            Self::Day => 8,
        };
        ChunkConfig::default().with_compression_level(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::decimal::unscaled;
    use proptest::prelude::*;

    const ORIGIN: i64 = 1_800_000_000;

    fn bits(block: &Block) -> Vec<(u32, Vec<(i64, u64)>)> {
        let columns = block.columns.iter().map(|(series, values)| {
            let points = block.times.iter().zip(values);
            let points = points
                .filter(|(_, value)| !value.is_nan())
                .map(|(at, value)| (*at, value.to_bits()));
            (*series, points.collect::<Vec<_>>())
        });
        columns.filter(|(_, points)| !points.is_empty()).collect()
    }

    fn check(block: &Block) -> Vec<u8> {
        let bytes = encode(block, ORIGIN, Effort::Slot);
        assert_eq!(
            bits(
                &Row::read(&encode(block, ORIGIN, Effort::Day), ORIGIN)
                    .unwrap()
                    .block()
                    .unwrap()
            ),
            bits(block)
        );
        let row = Row::read(&bytes, ORIGIN).unwrap();
        assert_eq!(bits(&row.block().unwrap()), bits(block));
        assert_eq!(row.count().unwrap(), block.points());
        for (series, expect) in bits(block) {
            let summary = row.summary(series).unwrap().unwrap();
            let values: Vec<f64> = expect
                .iter()
                .map(|(_, bits)| f64::from_bits(*bits))
                .collect();
            assert_eq!(summary.count, values.len() as u64);
            assert_eq!(
                summary.min,
                values.iter().copied().fold(f64::INFINITY, f64::min)
            );
            assert_eq!(
                summary.max,
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
            );
            assert_eq!(summary.last.to_bits(), values.last().unwrap().to_bits());
            assert_eq!(summary.last_at, expect.last().unwrap().0);
            let sum: f64 = values.iter().sum();
            let size: f64 = values.iter().map(|value| value.abs()).sum();
            assert!((summary.sum - sum).abs() <= size * 1e-9 || !sum.is_finite());
            // Any part of it, too.
            for range in [
                ORIGIN + 100..ORIGIN + 1000,
                expect[0].0..summary.last_at,
                0..i64::MAX,
            ] {
                let mut part = Vec::new();
                row.points(series, range.clone(), |at, value| {
                    part.push((at, value.to_bits()));
                })
                .unwrap();
                let wanted: Vec<_> = expect
                    .iter()
                    .copied()
                    .filter(|(at, _)| range.contains(at))
                    .collect();
                assert_eq!(part, wanted);
            }
        }
        bytes
    }

    /// 240 points at 30 s of a slowly moving percentage.
    fn ordinary() -> Block {
        let times: Vec<i64> = (0..240).map(|row| ORIGIN + 7 + row * 30).collect();
        let wave = |row: i64| ((row * 7919) % 101) as f64 / 100.0 + 40.0;
        let columns = (0..4).map(|series| {
            let values = (0..240).map(|row| match series {
                0 => 0.0,
                1 => 25_769_803_776.0,
                _ => (wave(row + i64::from(series)) * 100.0).round() / 100.0,
            });
            (series, values.collect())
        });
        Block {
            times,
            columns: columns.collect(),
        }
    }

    #[test]
    fn an_ordinary_slot_is_small() {
        let bytes = check(&ordinary());
        assert!(bytes.len() < 480, "{} bytes for 960 values", bytes.len());
    }

    #[test]
    fn odd_numbers_survive() {
        let odd = [
            0.0,
            -0.0,
            0.1,
            0.1 + 0.2,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            5e-324,
            -1e15,
            1e300,
            9_007_199_254_740_991.0,
            9_007_199_254_740_993.0,
            1e-7,
            f64::EPSILON,
        ];
        for value in odd {
            for other in odd {
                check(&Block {
                    times: vec![ORIGIN + 5, ORIGIN + 6, ORIGIN + 600],
                    columns: vec![
                        (3, vec![value, f64::NAN, other]),
                        (4, vec![f64::NAN, other, f64::NAN]),
                        (9, vec![value, value, value]),
                        (70_000, vec![f64::NAN; 3]),
                    ],
                });
            }
        }
        check(&Block::default());
    }

    #[test]
    fn of_two_blocks_the_first_value_stays() {
        let block = |times: &[i64], values: &[f64]| Block {
            times: times.to_vec(),
            columns: vec![(1, values.to_vec())],
        };
        let merged =
            block(&[10, 20], &[1.0, f64::NAN]).merge(block(&[10, 20, 30], &[9.0, 2.0, 3.0]));
        assert_eq!(merged, block(&[10, 20, 30], &[1.0, 2.0, 3.0]));
        let other = Block {
            times: vec![5],
            columns: vec![(0, vec![7.0])],
        };
        let merged = merged.merge(other);
        assert_eq!(merged.times, [5, 10, 20, 30]);
        assert_eq!(merged.points(), 4);
        assert_eq!(merged.cut(6..21).times, [10, 20]);
        assert_eq!(merged.cut(6..21).points(), 2);
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            2 => any::<f64>().prop_map(|value| if value.is_finite() { value } else { 0.5 }),
            6 => (-1_000_000_i64..1_000_000).prop_map(|value| value as f64 / 100.0),
            1 => Just(f64::NAN),
            1 => Just(12.5),
        ]
    }

    proptest! {
        /// Whatever is finite comes back bit for bit, with its summary, whole and in parts.
        #[test]
        fn every_finite_number_survives(
            steps in prop::collection::vec(1_i64..200, 1..150),
            columns in prop::collection::vec(prop::collection::vec(any_value(), 150), 1..4),
            decimals in prop::collection::vec((-100_000_i64..100_000, 0_u8..5), 150),
            is_regular in any::<bool>(),
        ) {
            let mut at = ORIGIN;
            let times: Vec<i64> = steps.iter().map(|step| { at += if is_regular { 30 } else { *step }; at }).collect();
            let mut columns: Vec<(u32, Vec<f64>)> = (0..).step_by(3).zip(columns).collect();
            // One whose values all are decimals of their own.
            columns.push((900, decimals.iter().map(|(whole, scale)| unscaled(*whole, *scale)).collect()));
            for (_, values) in &mut columns {
                values.truncate(times.len());
            }
            check(&Block { times, columns });
        }

        /// Damage is an error or other numbers, and never a panic.
        #[test]
        fn damage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..600, byte in any::<u8>()) {
            if let Ok(row) = Row::read(&bytes, ORIGIN) {
                drop(row.block());
            }
            let mut damaged = encode(&ordinary(), ORIGIN, Effort::Slot);
            let length = damaged.len();
            damaged[at % length] = byte;
            if let Ok(row) = Row::read(&damaged, ORIGIN) {
                drop(row.block());
                for series in 0..4 {
                    let _ = row.summary(series);
                }
            }
            damaged.truncate(at % length);
            if let Ok(row) = Row::read(&damaged, ORIGIN) {
                drop(row.block());
            }
        }
    }
}

//! Writing a row: times, directory, and each column in the smallest form that gives it back.

use pco::data_types::Number;
use pco::wrapped::FileCompressor;

use super::{
    Block, Effort, KIND_CONSTANT, KIND_DELTAS, KIND_PACKED, KIND_PLAIN, MAX_RANGE, SCALE_SHIFT,
    SMALL_COLUMN, TAG_HAS_GAPS, VERSION,
};
use crate::store::decimal::{common_scale, scaled};
use crate::store::varint::{put_signed, put_unsigned};

/// Writes a row; times are kept relative to `origin`. Columns without any value are left out.
pub fn encode(block: &Block, origin: i64, effort: Effort) -> Vec<u8> {
    let mut out = vec![VERSION];
    // Writing into memory cannot fail.
    drop(FileCompressor::default().write_header(&mut out));
    encode_times(&mut out, &block.times, origin);
    let columns: Vec<(u32, Vec<u8>)> = block
        .columns
        .iter()
        .filter_map(|(series, values)| Some((*series, encode_column(values, effort)?)))
        .collect();
    put_unsigned(&mut out, columns.len() as u64);
    let mut previous = 0;
    for (series, bytes) in &columns {
        put_unsigned(&mut out, u64::from(series - previous));
        put_unsigned(&mut out, bytes.len() as u64);
        previous = *series;
    }
    for (_, bytes) in &columns {
        out.extend_from_slice(bytes);
    }
    out
}

/// `count, first`, then the one step between all of them, or 0 and each difference.
fn encode_times(out: &mut Vec<u8>, times: &[i64], origin: i64) {
    put_unsigned(out, times.len() as u64);
    let Some(first) = times.first() else { return };
    put_signed(out, first - origin);
    let steps = || times.windows(2).map(|pair| pair[1] - pair[0]);
    let step = steps().next().unwrap_or(1);
    if steps().all(|other| other == step) {
        put_signed(out, step);
        return;
    }
    put_signed(out, 0);
    let steps: Vec<i64> = steps().collect();
    let mut deltas = Vec::new();
    steps.iter().for_each(|step| put_signed(&mut deltas, *step));
    let narrow: Option<Vec<u16>> = steps.iter().map(|step| u16::try_from(*step).ok()).collect();
    let packed = narrow.and_then(|steps| pack(&steps, Effort::Day));
    match packed.filter(|packed| packed.len() < deltas.len()) {
        Some(packed) => {
            out.push(KIND_PACKED);
            put_unsigned(out, packed.len() as u64);
            out.extend_from_slice(&packed);
        }
        None => {
            out.push(KIND_DELTAS);
            out.extend_from_slice(&deltas);
        }
    }
}

fn encode_column(values: &[f64], effort: Effort) -> Option<Vec<u8>> {
    let present: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| !value.is_nan())
        .collect();
    let last = *present.last()?;
    let gaps = if present.len() == values.len() {
        0
    } else {
        TAG_HAS_GAPS
    };
    let whole = common_scale(present.iter().copied()).and_then(|scale| {
        let whole: Option<Vec<i64>> = present.iter().map(|value| scaled(*value, scale)).collect();
        Some((scale, whole?))
    });
    let whole = whole.and_then(|(scale, whole)| {
        let (min, max) = (*whole.iter().min()?, *whole.iter().max()?);
        (min.abs_diff(max) < MAX_RANGE).then_some((scale, whole, min, max))
    });
    let mut out = Vec::new();
    let Some((scale, whole, min, max)) = whole else {
        out.push(KIND_PLAIN | gaps);
        put_gaps(&mut out, values, gaps);
        let least = present.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = present.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for number in [least, greatest, present.iter().sum(), last] {
            out.extend_from_slice(&f64::to_le_bytes(number));
        }
        out.extend(pack(&present, effort)?);
        return Some(out);
    };
    let tag = |kind| kind | gaps | scale << SCALE_SHIFT;
    if min == max {
        out.push(tag(KIND_CONSTANT));
        put_gaps(&mut out, values, gaps);
        put_signed(&mut out, min);
        return Some(out);
    }
    let above: Vec<u64> = whole.iter().map(|number| number.abs_diff(min)).collect();
    let packed = pack_narrow(&above, max.abs_diff(min), effort)?;
    let deltas = (above.len() < SMALL_COLUMN).then(|| {
        let mut deltas = Vec::new();
        let mut previous = 0;
        for number in &whole {
            put_signed(&mut deltas, number - min - previous);
            previous = number - min;
        }
        deltas
    });
    let (kind, body) = match deltas.filter(|deltas| deltas.len() < packed.len()) {
        Some(deltas) => (KIND_DELTAS, deltas),
        None => (KIND_PACKED, packed),
    };
    out.push(tag(kind));
    put_gaps(&mut out, values, gaps);
    put_signed(&mut out, min);
    put_unsigned(&mut out, max.abs_diff(min));
    put_unsigned(&mut out, above.iter().sum());
    put_unsigned(&mut out, *above.last()?);
    out.extend(body);
    Some(out)
}

/// Lengths of runs, of present and absent values in turn, beginning with present ones.
fn put_gaps(out: &mut Vec<u8>, values: &[f64], gaps: u8) {
    if gaps == 0 {
        return;
    }
    let mut runs = Vec::new();
    let mut is_present = true;
    let mut rest = values;
    while !rest.is_empty() {
        let length = rest
            .iter()
            .position(|value| value.is_nan() == is_present)
            .unwrap_or(rest.len());
        put_unsigned(&mut runs, length as u64);
        rest = rest.get(length..).unwrap_or_default();
        is_present = !is_present;
    }
    put_unsigned(out, runs.len() as u64);
    out.extend(runs);
}

/// The narrowest type that holds the greatest number: pco's description of itself is then the shortest.
fn pack_narrow(numbers: &[u64], greatest: u64, effort: Effort) -> Option<Vec<u8>> {
    if greatest <= u64::from(u16::MAX) {
        let narrow: Option<Vec<u16>> = numbers.iter().map(|n| u16::try_from(*n).ok()).collect();
        pack(&narrow?, effort)
    } else if greatest <= u64::from(u32::MAX) {
        let narrow: Option<Vec<u32>> = numbers.iter().map(|n| u32::try_from(*n).ok()).collect();
        pack(&narrow?, effort)
    } else {
        pack(numbers, effort)
    }
}

fn pack<T: Number>(numbers: &[T], effort: Effort) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut chunk = FileCompressor::default()
        .chunk_compressor(numbers, &effort.config())
        .ok()?;
    chunk.write_meta(&mut out).ok()?;
    for page in 0..chunk.n_per_page().len() {
        chunk.write_page(page, &mut out).ok()?;
    }
    Some(out)
}

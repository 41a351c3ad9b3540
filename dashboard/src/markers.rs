//! Where changes stand over a chart; what would overlap is joined. Pure.

/// Width that a marker needs, in CSS pixels.
const MARKER_PIXELS: f64 = 22.0;

/// One or more changes at a place of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Marker {
    /// How far along the span, from 0 to 1.
    pub along: f64,
    /// The changes' places in the list, which is in the order of time.
    pub places: std::ops::Range<usize>,
}

/// The markers of moments, in order, over a span that is drawn so many pixels wide; those outside of it have none.
pub fn join(moments: &[i64], (from, to): (i64, i64), width: f64) -> Vec<Marker> {
    let span = (to - from).max(1) as f64;
    let least = MARKER_PIXELS / width.max(1.0);
    let mut markers: Vec<Marker> = Vec::new();
    for (place, at) in moments.iter().enumerate() {
        if !(from..=to).contains(at) {
            continue;
        }
        markers.push(Marker {
            along: (at - from) as f64 / span,
            places: place..place + 1,
        });
        // A joined marker stands in the middle of its changes, which may bring it too near to the one before.
        while let [.., before, last] = markers.as_slice()
            && last.along - before.along < least
        {
            let joined = joined(before, last);
            markers.truncate(markers.len() - 2);
            markers.push(joined);
        }
    }
    markers
}

fn joined(a: &Marker, b: &Marker) -> Marker {
    let weight = |marker: &Marker| marker.places.len() as f64;
    Marker {
        along: (a.along * weight(a) + b.along * weight(b)) / (weight(a) + weight(b)),
        places: a.places.start..b.places.end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_overlap_is_joined() {
        let check = |moments: &[i64], expect: &[(f64, usize, usize)]| {
            let found: Vec<_> = join(moments, (1000, 2000), 1000.0)
                .into_iter()
                .map(|marker| {
                    let along = (marker.along * 1000.0).round() / 1000.0;
                    (along, marker.places.start, marker.places.end)
                })
                .collect();
            assert_eq!(found, expect, "{moments:?}");
        };
        check(&[], &[]);
        check(&[999, 2001], &[]);
        check(&[1100, 1500], &[(0.1, 0, 1), (0.5, 1, 2)]);
        check(&[900, 1100, 1110], &[(0.105, 1, 3)]);
        // The third is near to the second, but not to the middle of the first two.
        check(&[1100, 1120, 1135], &[(0.11, 0, 2), (0.135, 2, 3)]);
        check(&[1100, 1120, 1131], &[(0.117, 0, 3)]);
    }

    #[test]
    fn a_chart_without_width_has_one_marker() {
        assert_eq!(join(&[1, 2, 3], (1, 3), 0.0).len(), 1);
    }
}

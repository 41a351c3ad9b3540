//! Tests of the spool against a real directory.

use super::*;

const LIMITS: Limits = Limits {
    max_bytes: 64 << 20,
    max_age_seconds: 86_400,
};

fn open(directory: &tempfile::TempDir) -> Spool {
    Spool::open(directory.path(), LIMITS).unwrap()
}

fn fill(spool: &mut Spool, times: std::ops::Range<i64>) {
    for at in times {
        spool.append(at, at.to_string().as_bytes()).unwrap();
    }
}

fn read(spool: &mut Spool, max_frames: usize) -> Vec<String> {
    let backlog = spool.backlog(max_frames, usize::MAX).unwrap();
    backlog.map_or_else(Vec::new, |backlog| texts(&backlog))
}

fn texts(backlog: &Backlog) -> Vec<String> {
    backlog
        .frames
        .iter()
        .map(|frame| String::from_utf8(frame.payload.clone()).unwrap())
        .collect()
}

fn files(directory: &tempfile::TempDir) -> Vec<PathBuf> {
    segment_ids(directory.path())
        .unwrap()
        .into_iter()
        .map(|id| segment_path(directory.path(), id))
        .collect()
}

#[test]
fn frames_stay_until_they_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(&directory);
    assert_eq!(spool.backlog(10, 1000).unwrap(), None);
    fill(&mut spool, 0..5);
    assert_eq!(spool.pending(), 5);
    let first = spool.backlog(2, usize::MAX).unwrap().unwrap();
    assert_eq!(texts(&first), ["0", "1"]);
    assert_eq!(read(&mut spool, 2), ["0", "1"]);
    spool.finish(&first).unwrap();
    assert_eq!(spool.pending(), 3);
    // The limit of bytes is one that stops, not one that keeps a first frame back.
    assert_eq!(spool.backlog(9, 1).unwrap().unwrap().frames.len(), 1);

    drop(spool);
    let mut spool = open(&directory);
    assert_eq!(spool.pending(), 3);
    let rest = spool.backlog(9, usize::MAX).unwrap().unwrap();
    assert_eq!(texts(&rest), ["2", "3", "4"]);
    spool.finish(&rest).unwrap();
    assert_eq!(
        (
            spool.pending(),
            read(&mut spool, 9),
            files(&directory).len()
        ),
        (0, vec![], 0)
    );

    // Ids go on after all was answered, also over a restart.
    drop(spool);
    let mut spool = open(&directory);
    assert_eq!(spool.append(9, b"9").unwrap(), 5);
    assert_eq!(read(&mut spool, 9), ["9"]);
}

#[test]
fn newest_first_is_not_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(&directory);
    fill(&mut spool, 0..4);
    spool.finish_one(3).unwrap();
    spool.finish_one(3).unwrap();
    assert_eq!(
        (spool.pending(), read(&mut spool, 9)),
        (3, vec!["0".into(), "1".into(), "2".into()])
    );
    spool.finish_one(0).unwrap();
    let rest = spool.backlog(9, usize::MAX).unwrap().unwrap();
    assert_eq!(texts(&rest), ["1", "2"]);
    spool.finish(&rest).unwrap();
    assert_eq!(
        (spool.pending(), spool.cursor, files(&directory).len()),
        (0, 4, 0)
    );
    spool.finish_one(1).unwrap();
    assert_eq!(spool.pending(), 0);
}

#[test]
fn a_torn_tail_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(&directory);
    fill(&mut spool, 0..3);
    drop(spool);
    let path = &files(&directory)[0];
    let whole = fs::read(path).unwrap();
    for length in whole.len() / 3 * 2 + 1..whole.len() {
        fs::write(path, &whole[..length]).unwrap();
        let mut spool = open(&directory);
        assert_eq!(read(&mut spool, 9), ["0", "1"]);
        assert_eq!(spool.append(7, b"7").unwrap(), 2);
        drop(spool);
        assert_eq!(read(&mut open(&directory), 9), ["0", "1", "7"]);
    }
}

#[test]
fn a_damaged_frame_is_stepped_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(&directory);
    fill(&mut spool, 0..3);
    let path = &files(&directory)[0];
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, &content).unwrap();
    let backlog = spool.backlog(9, usize::MAX).unwrap().unwrap();
    assert_eq!(texts(&backlog), ["0", "2"]);
    spool.finish(&backlog).unwrap();
    assert_eq!(spool.backlog(9, usize::MAX).unwrap(), None);
    assert_eq!((spool.pending(), files(&directory).len()), (0, 0));
}

#[test]
fn a_damaged_cursor_sends_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(&directory);
    fill(&mut spool, 0..3);
    spool.finish_one(0).unwrap();
    drop(spool);
    assert_eq!(read(&mut open(&directory), 9), ["1", "2"]);
    for content in [b"".as_slice(), b"123", &[9; 12]] {
        fs::write(directory.path().join(CURSOR), content).unwrap();
        assert_eq!(read(&mut open(&directory), 9), ["0", "1", "2"]);
    }
}

#[test]
fn the_oldest_is_dropped_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits {
        max_bytes: 8 << 10,
        max_age_seconds: 86_400,
    };
    let mut spool = Spool::open(directory.path(), limits).unwrap();
    let payload = [b'x'; 100];
    for at in 0..200 {
        spool.append(at, &payload).unwrap();
        let held: u64 = files(&directory)
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert!(held <= limits.max_bytes, "{held}");
    }
    let backlog = spool.backlog(999, usize::MAX).unwrap().unwrap();
    let kept = backlog.frames.len() as u64;
    assert!((49..=64).contains(&kept), "{kept}");
    assert_eq!(backlog.frames.last().unwrap().id, 199);
    assert_eq!(
        (spool.pending(), spool.take_dropped(), spool.take_dropped()),
        (kept, 200 - kept, 0)
    );

    // An answer for frames that were dropped meanwhile changes nothing for the others.
    for at in 200..220 {
        spool.append(at, &payload).unwrap();
    }
    let dropped = spool.take_dropped();
    spool.finish(&backlog).unwrap();
    assert_eq!((dropped > 0, spool.pending()), (true, 20));
}

#[test]
fn what_is_too_old_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits {
        max_bytes: 8 << 10,
        max_age_seconds: 100,
    };
    let mut spool = Spool::open(directory.path(), limits).unwrap();
    for at in [0, 50, 100, 150] {
        spool.append(at, &[b'x'; 900]).unwrap();
    }
    assert_eq!((spool.pending(), spool.take_dropped()), (3, 1));
    // A whole new time: the clock was put forward.
    spool.append(10_000, b"x").unwrap();
    assert_eq!((spool.pending(), spool.take_dropped()), (1, 3));
    // A clock that was put back drops nothing.
    spool.append(1, b"x").unwrap();
    assert_eq!((spool.pending(), spool.take_dropped()), (2, 0));
}

#[test]
fn a_point_that_is_too_long_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(&directory);
    assert!(
        spool
            .append(0, &vec![0; frame::MAX_PAYLOAD_BYTES + 1])
            .is_err()
    );
    assert_eq!(spool.append(0, b"x").unwrap(), 0);
}

#[test]
fn a_segment_that_was_removed_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits {
        max_bytes: 8 << 10,
        max_age_seconds: 86_400,
    };
    let mut spool = Spool::open(directory.path(), limits).unwrap();
    for at in 0..3 {
        spool.append(at, &[b'x'; 900]).unwrap();
    }
    fs::remove_file(&files(&directory)[0]).unwrap();
    let backlog = spool.backlog(9, usize::MAX).unwrap().unwrap();
    assert_eq!(
        backlog
            .frames
            .iter()
            .map(|frame| frame.id)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    spool.finish(&backlog).unwrap();
    assert_eq!(spool.backlog(9, usize::MAX).unwrap(), None);
    assert_eq!((spool.pending(), files(&directory).len()), (0, 0));
}

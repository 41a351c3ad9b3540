//! Backups as files: what is read back is what was kept, and whatever else a file is, it is refused whole.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use infra_watch::store::archive::{self, ArchiveError, Contents, Head, Part, Passphrase, Secrets};
use infra_watch::store::backup::{BackupError, NewBackup, restore};
use infra_watch::store::kv::{Batch, Class, Kv, Table};
use infra_watch::store::migration::{self, FORMAT_KEY};
use infra_watch::store::redb::RedbKv;
use tokio::task::block_in_place;

type Everything = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

const AT: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn everything(kv: &RedbKv) -> Everything {
    let mut all = Everything::new();
    let mut each = |table: Table, key: &[u8], value: &[u8]| {
        all.insert((table, key.to_vec()), value.to_vec());
        ControlFlow::Continue(())
    };
    block_in_place(|| kv.dump(&mut each)).unwrap();
    all
}

fn secrets() -> Secrets {
    let secrets = [
        (
            Secrets::JWT_SECRET.to_owned(),
            "a secret of the backend".to_owned(),
        ),
        (
            Secrets::SSH_KEY.to_owned(),
            "a key\nof two lines\n".to_owned(),
        ),
    ];
    Secrets(secrets.into())
}

fn head() -> Head {
    Head::new(migration::newest(migration::MIGRATIONS), AT)
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

/// A store with something in many tables, of keys and values of many lengths.
async fn filled(directory: &Path, large: usize) -> RedbKv {
    let kv = RedbKv::open(directory).unwrap();
    migration::run(&kv, migration::MIGRATIONS).await.unwrap();
    for class in [Class::State, Class::Series] {
        for table in Table::ALL {
            if table.class() != class || *table == Table::Meta {
                continue;
            }
            let mut batch = Batch::new(class);
            for number in 0..5_usize {
                let key = vec![b'k'; number * 16];
                let value = Bytes::from(format!("{} {number}", table.name()));
                batch.put(*table, key, value);
            }
            kv.write(batch).await.unwrap();
        }
    }
    for number in 0..large {
        let mut batch = Batch::new(Class::Series);
        let value: Vec<u8> = (0..900_000).map(|at| (at * at + number) as u8).collect();
        batch.put(
            Table::Log,
            number.to_be_bytes().to_vec(),
            Bytes::from(value),
        );
        kv.write(batch).await.unwrap();
    }
    kv
}

fn write(kv: &RedbKv, head: Head, passphrase: Option<&Passphrase>) -> Vec<u8> {
    let mut file = Vec::new();
    block_in_place(|| archive::write(kv, head, &secrets(), &mut file, passphrase)).unwrap();
    file
}

fn read(
    file: &[u8],
    passphrase: Option<&Passphrase>,
) -> Result<(Contents, Everything), ArchiveError> {
    let mut all = Everything::new();
    let contents = archive::read(file, passphrase, &mut |part| {
        if let Part::Entries(table, entries) = part {
            let entries = entries.into_iter();
            all.extend(entries.map(|(key, value)| ((table, key), value.to_vec())));
        }
        Ok(())
    })?;
    Ok((contents, all))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_back_is_what_was_kept() {
    let directory = tempfile::tempdir().unwrap();
    let kv = filled(directory.path(), 4).await;
    for key in [None, Some(passphrase("correct horse"))] {
        let file = write(&kv, head(), key.as_ref());
        let (contents, all) = read(&file, key.as_ref()).unwrap();
        assert_eq!(all, everything(&kv));
        assert_eq!(contents.head, head());
        assert_eq!(contents.total(), all.len() as u64);
        let begins_plain = file.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        assert_eq!(begins_plain, key.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_counts() {
    let directory = tempfile::tempdir().unwrap();
    let kv = filled(directory.path(), 0).await;
    let file = write(&kv, head(), None);
    let good = read(&file, None).unwrap();
    let refused = |file: &[u8], what: &str| {
        let error = read(file, None).map(|(contents, _)| contents).unwrap_err();
        let is_named = matches!(error, ArchiveError::Damaged(_) | ArchiveError::Foreign);
        assert!(is_named, "{what}: {error}");
    };
    for length in 0..file.len() {
        refused(&file[..length], &format!("cut to {length}"));
    }
    let mut refusals = 0;
    for place in 0..file.len() {
        for flip in [0x01, 0x80] {
            let mut damaged = file.clone();
            damaged[place] ^= flip;
            // Of a few bits nothing depends, such as how large a window the compression may use: whatever is not
            // refused must read as if nothing had happened.
            match read(&damaged, None) {
                Err(
                    ArchiveError::Damaged(_) | ArchiveError::Foreign | ArchiveError::Newer { .. },
                ) => refusals += 1,
                Err(error) => panic!("byte {place} ^ {flip}: {error}"),
                Ok(read) => assert!(read == good, "byte {place} ^ {flip}"),
            }
        }
    }
    let damages = file.len() * 2;
    assert!(refusals * 100 > damages * 99, "{refusals} of {damages}");
    let longer = [file.as_slice(), b"more"].concat();
    refused(&longer, "longer");
    let twice = [file.as_slice(), &file].concat();
    refused(&twice, "twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encrypted_opens_with_its_passphrase_alone() {
    let directory = tempfile::tempdir().unwrap();
    let kv = filled(directory.path(), 0).await;
    let right = passphrase("correct horse");
    let file = write(&kv, head(), Some(&right));
    assert!(!String::from_utf8_lossy(&file).contains("of two lines"));
    assert!(matches!(read(&file, None), Err(ArchiveError::NoPassphrase)));
    let wrong = passphrase("incorrect horse");
    assert!(matches!(
        read(&file, Some(&wrong)),
        Err(ArchiveError::WrongPassphrase)
    ));
    for place in [0, 40, 100, 180, file.len() / 2, file.len() - 1] {
        let mut damaged = file.clone();
        damaged[place] ^= 1;
        assert!(read(&damaged, Some(&right)).is_err(), "byte {place}");
        assert!(
            read(&file[..place], Some(&right)).is_err(),
            "cut to {place}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_and_foreign_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let kv = filled(directory.path(), 0).await;
    let newer = [
        Head {
            format: 2,
            version: "9.0.0".to_owned(),
            ..head()
        },
        Head {
            store_format: head().store_format + 1,
            version: "9.0.0".to_owned(),
            ..head()
        },
    ];
    for head in newer {
        let file = write(&kv, head, None);
        let error = read(&file, None).unwrap_err();
        assert!(error.to_string().contains("version 9.0.0 wrote"), "{error}");
    }
    let mut compressed = zstd::encode_all(&b"some text"[..], 3).unwrap();
    compressed.extend_from_slice(b"");
    for foreign in [&b""[..], b"x", b"SQLite format 3\0 and more", &compressed] {
        assert!(matches!(
            read(foreign, None),
            Err(ArchiveError::Foreign | ArchiveError::Damaged(_))
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let kv = filled(&directory.path().join("."), 2).await;
    let place = |name: &str| directory.path().join(name);
    fs::write(place("good"), write(&kv, head(), None)).unwrap();
    let restored = place("restored");
    let contents = restore(&place("good"), None, &restored).await.unwrap();
    assert_eq!(contents.head, head());
    let mut names: Vec<_> = fs::read_dir(&restored)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["jwt_secret", "series.redb", "ssh_key", "state.redb"]
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&restored), 0o700);
    for (name, text) in &secrets().0 {
        assert_eq!(&fs::read_to_string(restored.join(name)).unwrap(), text);
        assert_eq!(mode(&restored.join(name)), 0o600);
    }
    assert_eq!(
        everything(&RedbKv::open(&restored).unwrap()),
        everything(&kv)
    );

    // One that was interrupted is no store, and is begun again.
    let interrupted = place("interrupted");
    fs::create_dir_all(interrupted.join("restoring")).unwrap();
    fs::write(interrupted.join("restoring/state.redb"), "half").unwrap();
    let error = RedbKv::open(&interrupted).err().unwrap().to_string();
    assert!(error.contains("was interrupted"), "{error}");
    assert!(!interrupted.join("state.redb").exists());
    restore(&place("good"), None, &interrupted).await.unwrap();
    assert!(!interrupted.join("restoring").exists());

    // An empty root of a file system is empty.
    let volume = place("volume");
    fs::create_dir_all(volume.join("lost+found")).unwrap();
    restore(&place("good"), None, &volume).await.unwrap();

    let is_empty = |path: &Path| fs::read_dir(path).unwrap().next().is_none();
    let good = fs::read(place("good")).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let newer = Head {
        format: 9,
        ..head()
    };
    let bad = [
        ("cut", good[..good.len() - 1].to_vec()),
        ("flipped", flipped),
        ("newer", write(&kv, newer, None)),
        ("empty", Vec::new()),
    ];
    for (name, bytes) in bad {
        fs::write(place(name), bytes).unwrap();
        let target = place("never");
        let error = restore(&place(name), None, &target).await.unwrap_err();
        assert!(matches!(error, BackupError::Archive(_)), "{name}: {error}");
        assert!(is_empty(&target), "{name}");
    }
    let error = restore(&place("good"), None, &restored).await.unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");
    let error = restore(&place("nowhere"), None, &place("new")).await;
    assert!(matches!(error, Err(BackupError::Path { .. })));
    assert!(!place("new").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_gets_its_name_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let kv = filled(directory.path(), 0).await;
    let path = directory.path().join("backup");
    let partial = directory.path().join("backup.partial");

    // What a crash left is in nobody's way.
    fs::write(&partial, "half").unwrap();
    let mut file = NewBackup::create(&path).unwrap();
    file.write_all(&write(&kv, head(), None)).unwrap();
    assert!(!path.exists() && partial.exists());
    assert_eq!(file.complete(None, &mut |_| Ok(())).unwrap().head, head());
    assert!(path.exists() && !partial.exists());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(
        NewBackup::create(&path),
        Err(BackupError::Exists(_))
    ));

    let other = directory.path().join("other");
    let mut file = NewBackup::create(&other).unwrap();
    file.write_all(b"not at all").unwrap();
    assert!(file.complete(None, &mut |_| Ok(())).is_err());
    drop(NewBackup::create(&other).unwrap());
    let left = fs::read_dir(directory.path()).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("other")
    });
    assert_eq!(left.count(), 0);
}

/// The store's format is part of what is kept.
#[tokio::test(flavor = "multi_thread")]
async fn the_format_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let kv = filled(directory.path(), 0).await;
    let (_, all) = read(&write(&kv, head(), None), None).unwrap();
    let format = &all[&(Table::Meta, FORMAT_KEY.to_vec())];
    assert_eq!(format[..], head().store_format.to_be_bytes());
}

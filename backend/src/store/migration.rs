//! The format of the whole store, and the steps from one to the next.
//!
//! The number stands in table `meta`. Records bring themselves up to date one by one (`record.rs`); a migration
//! is for what concerns whole tables: other keys, another encoding, a split. It must be safe to repeat, because a
//! crash between its last batch and the new number runs it again.

use bytes::Bytes;

use super::OpenError;
use super::kv::{Batch, Class, Kv, KvFuture, Table};

/// Key of the format in table `meta`.
pub const FORMAT_KEY: &[u8] = b"format";

/// One step: what brings a store of one format to the next.
pub type Migration = fn(&dyn Kv) -> KvFuture<'_, ()>;

/// Every step from format 1 on; the newest format is one more than their number.
pub const MIGRATIONS: &[Migration] = &[to_sealed_rows, to_documents];

/// Format 2 has rows of sealed points beside the log. What format 1 wrote is read as it is; an older build must not
/// take such a store for one whose measurements are all in the log.
fn to_sealed_rows(_kv: &dyn Kv) -> KvFuture<'_, ()> {
    Box::pin(async { Ok(()) })
}

/// Format 3 keeps snapshots by their content. Those of format 2 no agent ever sent: they go, and the next report brings
/// the first one.
fn to_documents(kv: &dyn Kv) -> KvFuture<'_, ()> {
    Box::pin(async {
        while kv
            .delete_range(
                Table::Snapshots,
                Vec::new()..vec![0xff; 24],
                KEYS_OF_TRANSACTION,
            )
            .await?
            == KEYS_OF_TRANSACTION
        {}
        Ok(())
    })
}

/// Keys that one transaction of a migration removes.
const KEYS_OF_TRANSACTION: usize = 2_000;

/// Reads a store's format: `None` for an empty one.
///
/// # Errors
/// The engine's.
pub async fn format(kv: &dyn Kv) -> Result<Option<u32>, OpenError> {
    let values = kv.get_many(Table::Meta, vec![FORMAT_KEY.to_vec()]).await?;
    Ok(values
        .into_iter()
        .flatten()
        .next()
        .map(|bytes| parse(&bytes)))
}

fn parse(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes))
}

/// Refuses a newer store by the value of [`FORMAT_KEY`], before anything opens it for writing.
///
/// # Errors
/// [`OpenError::Newer`].
pub fn refuse_newer(format: Option<&[u8]>, migrations: &[Migration]) -> Result<(), OpenError> {
    let known = newest(migrations);
    match format.map(parse) {
        Some(found) if found > known => Err(OpenError::Newer { found, known }),
        _ => Ok(()),
    }
}

/// The newest format that these lead to.
pub fn newest(migrations: &[Migration]) -> u32 {
    u32::try_from(migrations.len())
        .unwrap_or(u32::MAX)
        .saturating_add(1)
}

/// Marks an empty store with the newest format, brings an older one up to it, and refuses a newer one.
///
/// # Errors
/// [`OpenError::Newer`], with nothing changed.
pub async fn run(kv: &dyn Kv, migrations: &[Migration]) -> Result<(), OpenError> {
    let known = newest(migrations);
    let found = format(kv).await?;
    match found {
        Some(found) if found > known => return Err(OpenError::Newer { found, known }),
        Some(found) if found == known => return Ok(()),
        Some(found) => {
            for (step, migration) in (1..).zip(migrations).skip_while(|(step, _)| *step < found) {
                tracing::info!(from = step, to = step + 1, "migrating the store");
                migration(kv).await?;
                write_format(kv, step + 1).await?;
            }
        }
        None => write_format(kv, known).await?,
    }
    Ok(())
}

async fn write_format(kv: &dyn Kv, format: u32) -> Result<(), OpenError> {
    let mut batch = Batch::new(Class::State);
    batch.put(
        Table::Meta,
        FORMAT_KEY.to_vec(),
        Bytes::copy_from_slice(&format.to_be_bytes()),
    );
    Ok(kv.write(batch).await?)
}

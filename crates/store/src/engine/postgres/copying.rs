//! Out of a server: one REPEATABLE READ transaction, which is one moment. Into a server: one transaction, so that it is
//! there whole, with the end of its grants, or not at all.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use protocol::secret::Secret;
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use super::connect::{Dialer, Reached};
use super::{Postgres, health::Health, migrations, references, row, transaction, unavailable};
use crate::StoreError;
use crate::backup::{BackupError, PIECES, PORTION, Piece, Restore, Restored};
use crate::engine::copying::{Source, in_order, missed, names, nobody_takes_it};
use crate::engine::migrate::{self, Shape};
use crate::engine::value::{Row, Value};
use crate::engine::write::Written;

const BEGIN_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const TABLES: &str = "SELECT table_name::text FROM information_schema.tables \
    WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'";
const COLUMNS: &str = "SELECT column_name::text FROM information_schema.columns \
    WHERE table_schema = current_schema() AND table_name::text = $1 ORDER BY column_name::text COLLATE \"C\"";

impl Postgres {
    pub(in crate::engine) async fn dump(&self, to: &mpsc::Sender<Piece>) -> Result<(), BackupError> {
        let Reached { client, driver, .. } = self.dialer.dial(None).await?;
        let dumped = dump(&client, to).await;
        driver.abort();
        dumped
    }
}

async fn run(client: &Client, sql: &str) -> Result<(), StoreError> {
    client.batch_execute(sql).await.map_err(unavailable)
}

async fn read(client: &Client, sql: &str, params: &[Value]) -> Result<Vec<Row>, StoreError> {
    let found = client.query(sql, &references(params)).await.map_err(unavailable)?;
    found.iter().map(row).collect::<Result<_, _>>().map_err(unavailable)
}

async fn texts(client: &Client, sql: &str, params: &[Value]) -> Result<Vec<String>, StoreError> {
    let text = |row: Row| match row.into_iter().next() {
        Some(Value::Text(text)) => text,
        Some(Value::Bytes(_) | Value::Integer(_) | Value::Null) | None => String::new(),
    };
    Ok(read(client, sql, params).await?.into_iter().map(text).collect())
}

async fn count(client: &Client, table: &str) -> Result<u64, StoreError> {
    match read(client, &format!("SELECT COUNT(*) FROM {table}"), &[]).await?.first().map(Vec::as_slice) {
        Some([Value::Integer(count)]) => Ok(u64::try_from(*count).unwrap_or(0)),
        Some(_) | None => Ok(0),
    }
}

async fn dump(client: &Client, to: &mpsc::Sender<Piece>) -> Result<(), BackupError> {
    run(client, BEGIN_MOMENT).await?;
    run(client, migrations::NO_LIMITS).await?;
    let tables = in_order(&texts(client, TABLES, &[]).await?)?;
    let shape = Shape { applied: read(client, migrate::LIST, &[]).await?, oldest: None };
    let mut about = 0;
    for table in &tables {
        about += count(client, table).await?;
    }
    to.send(Piece::Begin { schema: shape.version(), about }).await.map_err(nobody_takes_it)?;
    for table in tables {
        let columns = texts(client, COLUMNS, &[Value::from(table)]).await?;
        let select = format!("SELECT {} FROM {table}", names(&columns)?);
        run(client, &format!("DECLARE portions NO SCROLL CURSOR FOR {select}")).await?;
        to.send(Piece::Table { name: table.to_owned(), columns }).await.map_err(nobody_takes_it)?;
        loop {
            let portion = read(client, &format!("FETCH {PORTION} FROM portions"), &[]).await?;
            if portion.is_empty() {
                break;
            }
            to.send(Piece::Rows(portion)).await.map_err(nobody_takes_it)?;
        }
        run(client, "CLOSE portions").await?;
    }
    run(client, "COMMIT").await?;
    to.send(Piece::End).await.map_err(nobody_takes_it)
}

/// Restores into an empty database.
pub(in crate::engine) async fn restore(
    (url, ca): (&Secret, Option<&Path>),
    restore: Restore,
) -> Result<Restored, BackupError> {
    let dialer = Dialer::new(url, ca, Arc::<Health>::default())?;
    dialer.survey().await;
    let Reached { client, driver, .. } = dialer.dial(None).await?;
    let restored = fill(&client, restore).await;
    driver.abort();
    restored
}

async fn fill(client: &Client, restore: Restore) -> Result<Restored, BackupError> {
    run(client, "BEGIN").await?;
    run(client, migrations::NO_LIMITS).await?;
    run(client, migrations::LOCK).await?;
    is_empty(client, restore.contents.header.schema).await?;
    migrations::within(client, restore.contents.header.schema).await?;
    let restore = Arc::new(restore);
    let (pieces, coming) = mpsc::channel(PIECES);
    let reading = {
        let restore = Arc::clone(&restore);
        tokio::task::spawn_blocking(move || send(&restore, &pieces))
    };
    let inserted = insert(client, coming).await;
    let sent = reading.await.map_err(StoreError::unavailable)?;
    inserted.and(sent)?;
    migrations::within(client, i64::MAX).await?;
    // The database was empty: nothing is there to be counted on from.
    let epoch = restore.epoch(0);
    let (write, grants) = restore.end_of_everything(epoch)?;
    let Written::Done(touched) = transaction::within(client, &write).await? else { return Err(missed()) };
    run(client, "COMMIT").await?;
    let grants_ended = touched.get(grants).map_or(0, |grants| grants.count);
    Ok(Restored { grants_ended, epoch, moved_to: None })
}

async fn is_empty(client: &Client, schema: i64) -> Result<(), BackupError> {
    let found = texts(client, TABLES, &[]).await?;
    for table in in_order(&found)? {
        if table != "meta" && count(client, table).await? > 0 {
            return Err(BackupError::NotEmpty(format!(
                "the database is not empty (there is something in `{table}`); make an empty one and name it in the \
                 configuration: what is in this one is not removed here"
            )));
        }
    }
    if found.iter().any(|table| table == "schema_migrations") {
        let shape = Shape { applied: read(client, migrate::LIST, &[]).await?, oldest: None };
        if shape.version() > schema {
            return Err(BackupError::NotEmpty(format!(
                "the database already has schema {}, and the backup is of {schema}; make an empty database",
                shape.version()
            )));
        }
    }
    Ok(())
}

fn send(restore: &Restore, to: &mpsc::Sender<Piece>) -> Result<(), BackupError> {
    let mut source = Source::open(restore)?;
    loop {
        let piece = source.next()?;
        let is_end = matches!(piece, Piece::End);
        if is_end {
            source.finish()?;
            return to.blocking_send(piece).map_err(nobody_takes_it);
        }
        to.blocking_send(piece).map_err(nobody_takes_it)?;
    }
}

/// COPY, a table at a time. What comes to no end is not committed.
async fn insert(client: &Client, mut coming: mpsc::Receiver<Piece>) -> Result<(), BackupError> {
    let mut piece = coming.recv().await;
    loop {
        let Some(Piece::Table { name, columns }) = piece else {
            return if matches!(piece, Some(Piece::End)) { Ok(()) } else { Err(BackupError::Cut) };
        };
        let names = names(&columns)?;
        let types = client.prepare(&format!("SELECT {names} FROM {name}")).await.map_err(unavailable)?;
        let types: Vec<Type> = types.columns().iter().map(|column| column.type_().clone()).collect();
        let copy = format!("COPY {name} ({names}) FROM STDIN BINARY");
        let sink = client.copy_in(&copy).await.map_err(unavailable)?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        piece = coming.recv().await;
        while let Some(Piece::Rows(rows)) = &piece {
            for row in rows {
                writer.as_mut().write(&references(row)).await.map_err(unavailable)?;
            }
            piece = coming.recv().await;
        }
        writer.finish().await.map_err(unavailable)?;
    }
}

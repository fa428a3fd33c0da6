//! Behind the record's back: a database of its own for a test, and rows as nobody of ours would write them.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the environment says where the server is; that an engine was not run must be heard"
)]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use testkit::house::House;
use testkit::outcomes::Verdict;
use testkit::wire::Target;
use tokio_postgres::config::Host;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// The record of a test, to be looked at from outside.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Postgres(String),
    Sqlite(PathBuf),
}

impl Record {
    /// Runs SQL; the rows come back as text, columns joined, bytes as `\\x…`.
    pub(crate) async fn rows(&self, sql: &str) -> Result<Vec<String>, String> {
        match self {
            Self::Postgres(url) => run(url, sql).await,
            Self::Sqlite(path) => read(path, sql),
        }
    }

    /// Where a cable to the PostgreSQL server has to lead.
    pub(crate) fn target(&self) -> Result<Target, String> {
        let Self::Postgres(url) = self else { return Err("a file has no address".to_owned()) };
        let config: tokio_postgres::Config = url.parse().map_err(text)?;
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first() {
            Some(Host::Tcp(host)) => Ok(Target::Tcp(format!("{host}:{port}"))),
            Some(Host::Unix(folder)) => Ok(Target::Unix(folder.join(format!(".s.PGSQL.{port}")))),
            None => Err("the URL names no host".to_owned()),
        }
    }

    /// The URL of the same database through a loopback port.
    pub(crate) fn through(&self, port: u16) -> Result<String, String> {
        let Self::Postgres(url) = self else { return Err("a file has no address".to_owned()) };
        let config: tokio_postgres::Config = url.parse().map_err(text)?;
        let password = config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let user = config.get_user().unwrap_or("postgres");
        let account = password.map_or_else(|| user.to_owned(), |password| format!("{user}:{password}"));
        Ok(format!("postgresql://{account}@127.0.0.1:{port}/{}", config.get_dbname().unwrap_or("postgres")))
    }
}

fn read(path: &Path, sql: &str) -> Result<Vec<String>, String> {
    let connection = rusqlite::Connection::open(path).map_err(text)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(text)?;
    let mut statement = connection.prepare(sql).map_err(|error| format!("{sql}: {error}"))?;
    let width = statement.column_count();
    let column = |row: &rusqlite::Row<'_>, at: usize| {
        Ok::<_, rusqlite::Error>(match row.get_ref(at)? {
            rusqlite::types::ValueRef::Blob(bytes) => {
                bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
            }
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            rusqlite::types::ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            rusqlite::types::ValueRef::Null | rusqlite::types::ValueRef::Real(_) => String::new(),
        })
    };
    let rows = statement.query_map([], |row| {
        let columns = (0..width).map(|at| column(row, at)).collect::<Result<Vec<_>, _>>()?;
        Ok(columns.join("\u{1f}"))
    });
    rows.map_err(text)?.collect::<Result<_, _>>().map_err(text)
}

/// Runs a test over a PostgreSQL database of its own, on the server that `TEST_POSTGRES_URL` names.
pub(crate) async fn on_postgres<F: Future<Output = Verdict>>(test: impl FnOnce(String) -> F) -> Verdict {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("TEST_POSTGRES_URL") else {
        if std::env::var_os("CI").is_some() {
            return Err("TEST_POSTGRES_URL is not set, and CI skips no engine".to_owned());
        }
        static SAID: Once = Once::new();
        SAID.call_once(|| eprintln!("\n!! NOT RUN on PostgreSQL: TEST_POSTGRES_URL is not set !!\n"));
        return Ok(());
    };
    let name = format!("acceptance_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    run(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
    run(&server, &format!("CREATE DATABASE {name}")).await?;
    let verdict = test(on_database(&server, &name)?).await;
    run(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    verdict
}

/// Runs SQL over the SQLite file of a house, behind its back.
pub(crate) fn tamper(house: &House, sql: &str) -> Verdict {
    let connection = rusqlite::Connection::open(house.folder().join("record.db")).map_err(text)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(text)?;
    connection.execute_batch(sql).map_err(|error| format!("{sql}: {error}"))
}

/// Whether any of these secrets stands in any column of any table, as text or as bytes.
pub(crate) async fn holds(url: &str, secrets: &[&str]) -> Result<Option<String>, String> {
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    for table in run(url, tables).await? {
        for row in run(url, &format!("SELECT * FROM \"{table}\"")).await? {
            let found = secrets.iter().find(|secret| row.contains(**secret) || row.contains(&hex(secret)));
            if found.is_some() {
                return Ok(Some(format!("a secret stands in `{table}`: {row}")));
            }
        }
    }
    Ok(None)
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs SQL on a connection of its own; the rows come back as text, columns joined.
async fn run(url: &str, sql: &str) -> Result<Vec<String>, String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(text)?;
    let ask = async move {
        let answer = client.simple_query(sql).await;
        drop(client);
        answer
    };
    let (_, answer) = tokio::join!(connection, ask);
    let rows = answer.map_err(|error| format!("{sql}: {error:?}"))?.into_iter().filter_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        let columns = (0..row.len()).map(|at| row.get(at).unwrap_or_default());
        Some(columns.collect::<Vec<_>>().join("\u{1f}"))
    });
    Ok(rows.collect())
}

/// The same URL with another database in its path.
fn on_database(url: &str, name: &str) -> Result<String, String> {
    let (address, options) = url.split_once('?').map_or((url, String::new()), |(a, o)| (a, format!("?{o}")));
    let (scheme, rest) = address.split_once("://").ok_or("TEST_POSTGRES_URL is not a URL")?;
    let authority = rest.split('/').next().unwrap_or_default();
    Ok(format!("{scheme}://{authority}/{name}{options}"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

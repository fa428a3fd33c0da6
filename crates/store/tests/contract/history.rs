//! What earlier releases wrote is still read, and what they ask is still answered: rows and statements as schema 0001 had
//! them, on the newest schema (attacks.md, F-20, F-21). The files in `history/` were written by that release and are never
//! edited; the next release adds its own.

use std::fmt::Write as _;
use std::path::Path;

use protocol::keys::KeyId;
use serde_json::Value;
use store::{
    AuditFilter, AuditKind, AuthorizationState, Authorizations as _, Clients as _, Engine, EngineConfig,
    Grants as _, KeyPurpose, KeysRecord as _, Maintenance as _, Queries as _, Revocations as _, Rotate,
    RotateOutcome, Users as _,
};
use tokio_postgres::NoTls;

use crate::engines::{on_empty_postgres, on_empty_sqlite, postgres};
use crate::fixtures::*;

const ROWS: &str = include_str!("history/0001.json");
const STATEMENTS: &str = include_str!("history/0001.statements.txt");

/// The schema as that release made it, with the mark by which a migrator knows it.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/sqlite/0001_first.sql"),
    include_str!("../../migrations/postgres/0001_first.sql"),
];

fn quoted(value: &Value, of_bytes: (&str, &str)) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Array(_) | Value::Bool(_) | Value::Object(_) => {
            format!("{}{}{}", of_bytes.0, value["bytes"].as_str().unwrap(), of_bytes.1)
        }
    }
}

fn inserts(of_bytes: (&str, &str)) -> String {
    let tables: serde_json::Map<String, Value> = serde_json::from_str(ROWS).unwrap();
    let mut sql = String::new();
    // Whom others refer to first.
    for table in ["users", "clients"].into_iter().chain(tables.keys().map(String::as_str)) {
        let columns: Vec<&str> =
            tables[table]["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        if sql.contains(&format!("INTO {table} ")) {
            continue;
        }
        for row in tables[table]["rows"].as_array().unwrap() {
            let row: Vec<String> =
                row.as_array().unwrap().iter().map(|value| quoted(value, of_bytes)).collect();
            writeln!(sql, "INSERT INTO {table} ({}) VALUES ({});", columns.join(", "), row.join(", "))
                .unwrap();
        }
    }
    sql
}

fn mark(of_bytes: (&str, &str)) -> String {
    let text = format!("{}\0{}", MIGRATIONS[0], MIGRATIONS[1]);
    let checksum = protocol::secret::Hash::of(text.as_bytes());
    let hex = checksum.as_bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let checksum = quoted(&serde_json::json!({ "bytes": hex }), of_bytes);
    format!("INSERT INTO schema_migrations VALUES (1, '0001_first', {checksum});")
}

async fn on_the_file(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let made = "CREATE TABLE schema_migrations \
        (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL) STRICT;";
    let bytes = ("x'", "'");
    connection.execute_batch(&[made, MIGRATIONS[0], &mark(bytes), &inserts(bytes)].concat()).unwrap();
}

async fn on_the_server(url: &str) {
    let made = "CREATE TABLE schema_migrations \
        (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum BYTEA NOT NULL);";
    let bytes = ("'\\x", "'");
    postgres(url, &[made, MIGRATIONS[1], &mark(bytes), &inserts(bytes)].concat()).await;
}

/// Everything that was written, through the methods of today.
async fn is_read(config: EngineConfig) {
    let store = Engine::connect(config).await.unwrap();
    assert!(!store.migrate().await.unwrap().is_empty(), "it is of an earlier release");
    let mut client_as_written = client();
    client_as_written.metadata = r#"{"client_name":"Inspector \u2713"}"#.to_owned();
    assert_eq!(store.find_client(&client_id()).await.unwrap(), Some(client_as_written));
    let user = store.find_user(id(1)).await.unwrap().unwrap();
    assert_eq!((user.subject.as_str(), user.groups.len()), ("00u1", 2));
    let living = store.find_grant(id(1)).await.unwrap().unwrap();
    assert_eq!((living.generation, living.revoked_at), (1, None));
    assert_eq!(store.find_grant(id(2)).await.unwrap().unwrap().revoked_at, Some(NOW));
    let code = store.find_by_code(hash("code", 1)).await.unwrap().unwrap();
    assert!(matches!(code.state, AuthorizationState::Redeemed { .. }), "{:?}", code.state);
    for (number, pending) in [(3, false), (4, true), (5, true)] {
        let found = store.find_authorization(id(number)).await.unwrap().unwrap();
        let is_pending =
            matches!(found.state, AuthorizationState::Pending | AuthorizationState::UpstreamLeg { .. });
        assert_eq!(is_pending, pending, "{:?}", found.state);
    }
    let mut revoked = store.list_revocations(NOW.minus(DAY)).await.unwrap();
    revoked.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(revoked[1].id, "somebody's client");
    let keys = store.list_keys().await.unwrap();
    assert_eq!(keys.len(), 5);
    for (number, purpose) in
        [KeyPurpose::ClientIds, KeyPurpose::Forms, KeyPurpose::RefreshTokens].into_iter().enumerate()
    {
        let key = keys.iter().find(|key| key.purpose == purpose).unwrap();
        assert_eq!(key.id, KeyId::from_bytes([u8::try_from(number).unwrap(); 4]));
        assert_eq!(key.activates_at, key.created_at, "without a time it works from its birth");
    }
    assert_eq!(store.meta("public_url").await.unwrap().as_deref(), Some("https://mcp.example.com"));
    let events = store.list_audit(AuditFilter::default(), None, 100).await.unwrap();
    assert_eq!(events.len(), 11);
    assert!(events.iter().any(|event| event.name.as_deref() == Some("Ada")));
    // And they go on from where they were.
    let now = NOW.plus(2 * MINUTE);
    let idle_expires_at = now.plus(DAY);
    let audit = event(AuditKind::TokenRefreshed);
    let rotate = Rotate { grant: id(1), from_generation: 1, now, idle_expires_at, audit };
    assert_eq!(store.rotate(rotate).await.unwrap(), RotateOutcome::Rotated);
    store.sweep(NOW.plus(DAY)).await.unwrap();
}

#[tokio::test]
async fn f_21_rows_of_schema_0001_are_read_from_a_file() {
    on_empty_sqlite(async |config, path| {
        on_the_file(&path).await;
        is_read(config).await;
    })
    .await;
}

#[tokio::test]
async fn f_21_rows_of_schema_0001_are_read_from_a_server() {
    on_empty_postgres(async |config, url| {
        on_the_server(&url).await;
        is_read(config).await;
    })
    .await;
}

fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
    STATEMENTS.lines().map(|line| line.split_once('\t').unwrap())
}

#[tokio::test]
async fn the_statements_of_schema_0001_are_accepted_by_the_newest_schema_of_a_file() {
    assert!(statements().count() > 50);
    on_empty_sqlite(async |config, path| {
        drop(Engine::open(config).await.unwrap());
        let connection = rusqlite::Connection::open(path).unwrap();
        for (name, sql) in statements() {
            connection.prepare(sql).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    })
    .await;
}

#[tokio::test]
async fn the_statements_of_schema_0001_are_accepted_by_the_newest_schema_of_a_server() {
    on_empty_postgres(async |config, url| {
        drop(Engine::open(config).await.unwrap());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let ask = async move {
            for (name, sql) in statements() {
                client.prepare(sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            }
        };
        tokio::join!(async { drop(connection.await) }, ask);
    })
    .await;
}

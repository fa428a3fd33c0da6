//! The twins: both schemas hold the same tables and the same columns, under the mapping of the three types.

use std::collections::BTreeSet;

use store::Engine;
use tokio_postgres::NoTls;

use crate::engines::{on_empty_postgres, on_empty_sqlite};

/// Table, column, type, whether it may be empty.
type Columns = BTreeSet<(String, String, &'static str, bool)>;

fn kind(name: &str) -> &'static str {
    match name {
        "INTEGER" | "bigint" => "integer",
        "TEXT" | "text" => "text",
        "BLOB" | "bytea" => "bytes",
        other => panic!("a fourth type: {other}"),
    }
}

async fn on_the_file() -> Columns {
    let mut columns = Columns::new();
    on_empty_sqlite(async |config, path| {
        drop(Engine::open(config).await.unwrap());
        let connection = rusqlite::Connection::open(path).unwrap();
        let strict = "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND NOT strict \
            AND name NOT LIKE 'sqlite_%'";
        assert_eq!(connection.query_row(strict, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
        let list = "SELECT t.name, c.name, c.type, c.\"notnull\" FROM pragma_table_list t, \
            pragma_table_info(t.name) c WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%'";
        let mut statement = connection.prepare(list).unwrap();
        let rows = statement
            .query_map([], |row| {
                let name: String = row.get(2)?;
                Ok((row.get(0)?, row.get(1)?, kind(&name), !row.get::<_, bool>(3)?))
            })
            .unwrap();
        columns = rows.collect::<Result<_, _>>().unwrap();
    })
    .await;
    columns
}

#[tokio::test]
async fn both_schemas_are_the_same_under_the_mapping() {
    let file = on_the_file().await;
    assert!(file.len() > 90, "{}", file.len());
    on_empty_postgres(async |config, url| {
        drop(Engine::open(config).await.unwrap());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let list = "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text \
            FROM information_schema.columns WHERE table_schema = 'public'";
        let ((), rows) = tokio::join!(async { connection.await.unwrap() }, async move {
            let rows = client.query(list, &[]).await.unwrap();
            drop(client);
            rows
        });
        let server: Columns = rows
            .iter()
            .map(|row| (row.get(0), row.get(1), kind(row.get(2)), row.get::<_, &str>(3) == "YES"))
            .collect();
        assert_eq!(file, server);
    })
    .await;
}

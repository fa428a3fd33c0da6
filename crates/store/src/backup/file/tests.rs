use super::super::verify;
use super::*;

fn rows_of(count: i64) -> Vec<Row> {
    let row = |number: i64| vec![Value::from(format!("key {number}")), Value::from("v\u{1f6aa}".repeat(40))];
    (0..count).map(row).collect()
}

fn made() -> Vec<u8> {
    let header = Header::new("0.1.0", "SQLite", Timestamp::from_secs(1_800_000_000));
    let mut out = Vec::new();
    let mut writer = Writer::begin(&mut out, &Header { schema: 4, ..header }).unwrap();
    writer.table("meta".to_owned(), vec!["key".to_owned(), "value".to_owned()]).unwrap();
    writer.rows(&rows_of(3000)).unwrap();
    writer.table("grants".to_owned(), vec!["id".to_owned(), "generation".to_owned()]).unwrap();
    writer
        .rows(&[
            vec![Value::Bytes(vec![0, 255]), Value::Integer(i64::MIN)],
            vec![Value::Null, Value::Integer(-1)],
        ])
        .unwrap();
    writer.finish().unwrap();
    out
}

#[test]
fn what_was_written_is_read() {
    let backup = made();
    let contents = verify(backup.as_slice()).unwrap();
    assert_eq!((contents.counts["meta"], contents.counts["grants"]), (3000, 2));
    assert_eq!(contents.meta["key 2999"], "v\u{1f6aa}".repeat(40));
    assert_eq!((contents.header.schema, contents.header.made_by.as_str()), (4, "0.1.0"));
    let mut reader = Reader::begin(backup.as_slice()).unwrap();
    let mut rows = Vec::new();
    loop {
        match reader.next().unwrap() {
            Piece::Rows(some) => rows.extend(some),
            Piece::End => break,
            Piece::Begin { .. } | Piece::Table { .. } => {}
        }
    }
    assert!(rows[..3000] == rows_of(3000)[..]);
    assert!(rows[3001] == vec![Value::Null, Value::Integer(-1)]);
}

#[test]
fn no_byte_can_be_changed_and_none_be_missing_or_too_many() {
    let backup = made();
    assert!(verify(backup.as_slice()).is_ok());
    for place in (0..backup.len()).step_by(backup.len() / 150).chain([backup.len() - 1]) {
        let mut changed = backup.clone();
        changed[place] ^= 0x10;
        assert!(verify(changed.as_slice()).is_err(), "byte {place} was changed");
        assert!(verify(&backup[..place]).is_err(), "cut at byte {place}");
    }
    let longer = [backup.as_slice(), b"\n"].concat();
    assert!(matches!(verify(longer.as_slice()), Err(BackupError::Damaged)));
}

#[test]
fn what_is_something_else_or_newer_is_told_apart() {
    let mut backup = made();
    assert!(matches!(verify(&b"SQLite format 3\0"[..]), Err(BackupError::NotABackup)));
    assert!(matches!(verify(&b""[..]), Err(BackupError::NotABackup)));
    backup[MAGIC.len() + 3] = 2;
    assert!(matches!(verify(backup.as_slice()), Err(BackupError::Newer { found: 2 })));
}

#[test]
fn what_a_forger_puts_into_names_reaches_no_statement() {
    for (table, column) in [("users; DROP TABLE users", "id"), ("users", "id) SELECT 1; --"), ("users", "")] {
        let header = Header::new("0.1.0", "SQLite", Timestamp::from_secs(1_800_000_000));
        let mut out = Vec::new();
        let mut writer = Writer::begin(&mut out, &header).unwrap();
        writer.table(table.to_owned(), vec![column.to_owned()]).unwrap();
        writer.rows(&[vec![Value::Null]]).unwrap();
        writer.finish().unwrap();
        assert!(matches!(verify(out.as_slice()), Err(BackupError::Damaged)), "{table} {column}");
    }
}

#[test]
fn a_chunk_that_says_it_is_huge_takes_no_memory() {
    let mut backup = made();
    let head = MAGIC.len() + 4;
    backup[head + 1..head + 5].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(verify(backup.as_slice()), Err(BackupError::Damaged)));
}

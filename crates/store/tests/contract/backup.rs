//! Backup and restore: one moment of the whole record, into either engine, and an end to everything that was allowed
//! (attacks.md, F-24).

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use protocol::keys::KeyId;
use protocol::oauth::ClientId;
use protocol::secret::Sealed;
use protocol::world::Timestamp;
use rusqlite::types::Value;
use store::{
    AuditEvents as _, AuditFilter, AuditKind, Authorizations as _, BackupError, BrowserSessions as _,
    ClientRecord, Clients as _, ConnectingRecords as _, Connections as _, Engine, EngineConfig, Grants as _,
    KeyPurpose, KeyRecord, KeysRecord as _, Maintenance as _, Progress, Queries as _, Restore, Restored,
    RevocationKind, Revocations as _, Rotate, RotateOutcome, Users as _,
};

use crate::connections::{attempt, connected};
use crate::engines::{Opened, contract, on_empty_postgres, on_empty_sqlite};
use crate::fixtures::*;

contract! {
    everything_that_was_allowed_is_ended_and_everything_that_was_forbidden_stays,
    a_backup_is_not_restored_over_data_and_a_bad_one_not_at_all,
    f_24_a_backup_under_load_is_one_moment,
    a_table_that_is_not_known_is_not_left_out_in_silence,
}

const LATER: Timestamp = Timestamp::from_micros(NOW.micros() + 3_600_000_000);

fn silent() -> Progress {
    Arc::new(|_, _| {})
}

fn key(number: u8, purpose: KeyPurpose) -> KeyRecord {
    KeyRecord {
        id: KeyId::from_bytes([number; 4]),
        purpose,
        sealed: Sealed::from_bytes(vec![1, number, 0, 255]),
        created_at: NOW,
        activates_at: NOW,
        retired_at: None,
        withdrawn_at: None,
    }
}

async fn back_up(store: &Engine, to: &Path) -> BTreeMap<String, u64> {
    store.back_up(File::create(to).unwrap(), ("0.1.0", NOW), silent()).await.unwrap()
}

fn restoring(from: &Path, number: u8) -> Result<Restore, BackupError> {
    let contents = store::verify_file(from, &silent())?;
    let mut audit = event(AuditKind::Restored);
    audit.at = LATER;
    let mut revocation = revocation(RevocationKind::Issuer, "https://mcp.example.com");
    revocation.not_before = LATER;
    revocation.expires_at = LATER.plus(60 * MINUTE);
    let signing = key(number, KeyPurpose::Signing);
    let from = from.to_owned();
    Ok(Restore { from, contents, replace: false, revocation, signing, audit, progress: silent() })
}

async fn restore(config: EngineConfig, from: &Path) -> Result<Restored, BackupError> {
    Engine::restore(config, restoring(from, 77)?).await
}

/// Where a test puts what it makes.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sqlite(&self, name: &str) -> EngineConfig {
        EngineConfig::Sqlite { path: self.path(name), synchronous_full: false }
    }
}

/// All rows of a table, in one order.
fn rows(path: &Path, table: &str) -> Vec<Vec<Value>> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let width = statement.column_count();
    let read = |row: &rusqlite::Row<'_>| (0..width).map(|column| row.get(column)).collect();
    let mut rows: Vec<Vec<Value>> = statement.query_map([], read).unwrap().collect::<Result<_, _>>().unwrap();
    rows.sort_by_cached_key(|row| format!("{row:?}"));
    rows
}

/// Something in every table, and more rows than go into one portion.
async fn filled(store: &Engine) {
    let user = person(store, 1).await.id;
    granted(store, 1, user).await;
    granted(store, 2, user).await;
    consented(store, 3, user).await;
    store.put_authorization(asking(4), CAPS, NOW).await.unwrap();
    store.start_leg(id(4), leg(4), NOW).await.unwrap();
    let keys = KeyPurpose::ALL.into_iter().zip(1..).map(|(purpose, number)| key(number, purpose)).collect();
    assert!(store.put_keys(keys, true).await.unwrap());
    for number in 0..2500 {
        store.put_meta(&format!("fact {number}"), "\u{1f6aa} of it").await.unwrap();
    }
    let mut events = vec![event(AuditKind::SignIn)];
    events[0].subject =
        Some(store::AuditSubject { salt: [9; 16], name: Some("Ada".to_owned()), address: None });
    store.append_audit(events).await.unwrap();
}

/// From a file to a server and back into a file nothing is lost, and nothing is changed but what a restore ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_moves_from_one_engine_to_the_other_and_back() {
    let folder = Folder::new();
    let first = Engine::open(folder.sqlite("first.db")).await.unwrap();
    filled(&first).await;
    let tamper = rusqlite::Connection::open(folder.path("first.db")).unwrap();
    // What no method writes yet, or only elsewhere: a chain of seals, a block, a login.
    let more = "INSERT INTO revocations VALUES ('grant', 'somebody', 1, 2, 3); INSERT INTO audit_seals (id, digest, count, sealed_at) VALUES (1, x'00ff', 1, 5); \
        INSERT INTO audit_seals (id, previous, digest, count, sealed_at) VALUES (2, 1, x'01', 1, 6); \
        INSERT INTO audit_blocks (id, first_at, last_at, events, packed) VALUES (x'0a', 1, 2, 1, x'ff00'); \
        INSERT INTO audit_holds VALUES (x'0d', NULL, 's', 1, 2, 'why', 3); INSERT INTO usage_hours VALUES (0, 's', 'c', x'01', 't', 1, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0); INSERT INTO nodes VALUES (x'0b', 1); \
        INSERT INTO audit_intents VALUES (x'0c', x'0b', 1, x'01', 'c', 's', x'02', 'tools/call', 't', 'n', 'a'); INSERT INTO settled_intents VALUES (x'0b', 1); \
        INSERT INTO identity_links SELECT 'partner', '7', id, 1 FROM users; \
        INSERT INTO offline_access SELECT x'0a', id, 'partner', '7', x'0b', 1, 2, NULL, NULL, 0, 1 FROM users; \
        INSERT INTO connecting SELECT x'0a', x'0b', x'0c', id, 'notes', '{}', x'0d', 1, 2, NULL FROM users; INSERT INTO upstream_clients VALUES (x'0a', 'notes', 'https://as.example', 'c', x'0b', 1); INSERT INTO former_upstream_clients VALUES (x'0a', 'notes', 'https://as.example', 'd', x'0b', 1); INSERT INTO connections SELECT x'0a', id, 'notes', '{}', 'ada', 'read', x'0b', x'0c', 9, 0, 1, 2, 3, NULL, NULL, NULL, NULL, 0, '' FROM users; \
        INSERT INTO client_rules VALUES ('block_host', 'bad.example', '', 1), ('allow_host', 'good.example', '', 1); \
        INSERT INTO registration_tokens VALUES (x'0e', 1, 2, 3, 0); INSERT INTO tool_lists VALUES ('notes', 1); INSERT INTO tool_definitions VALUES ('notes', 'a', 1, x'0a', '{}', 2, 3, 'operator', x'0b', '[]', 4); \
        INSERT INTO client_requests SELECT x'0f', 'K7Q2-9XWD', 'c', x'00', NULL, '{}', 'd', 's', id, 1, 2 FROM users; \
        INSERT INTO sign_ins (id, reference, begun_at, last_at, failed, last_step, count, steps) \
        VALUES (x'1a', 'K7Q2-9XWD', 1, 2, 0, 'asked', 1, '{}'); \
        INSERT INTO replays VALUES ('client_assertion', x'0d', 7); \
        INSERT INTO device_authorizations VALUES (x'0e', x'0f', 'c', 'a', 'n', 'r', 's', 'x', 1, 2, 3, x'10'); INSERT INTO consents SELECT id, 'c', 'r', 'person', x'0a', 's', 'read', x'0b', x'0c', 1, 2, 3, 4 FROM users; INSERT INTO emergency_logins (id, hash, user_id, sealed, created_at, expires_at) \
        SELECT x'0a', x'0b', id, x'0c', 1, 2 FROM users";
    tamper.execute_batch(more).unwrap();
    drop(tamper);
    let counts = back_up(&first, &folder.path("first.backup")).await;
    assert!(counts.values().all(|count| *count > 0), "every table is tried: {counts:?}");
    drop(first);
    let mut moved = false;
    on_empty_postgres(async |config, url| {
        let restored = restore(config, &folder.path("first.backup")).await.unwrap();
        assert_eq!((restored.epoch, restored.grants_ended), (1, 2));
        let url = protocol::secret::Secret::new(url);
        let second = Engine::open(EngineConfig::Postgres { url, pool_size: 2, ca: None }).await.unwrap();
        assert_eq!(second.find_user(id(1)).await.unwrap().unwrap().subject, "00u1");
        back_up(&second, &folder.path("second.backup")).await;
        moved = true;
    })
    .await;
    if !moved {
        restore(folder.sqlite("between.db"), &folder.path("first.backup")).await.unwrap();
        let second = Engine::open(folder.sqlite("between.db")).await.unwrap();
        back_up(&second, &folder.path("second.backup")).await;
    }
    let mut again = restoring(&folder.path("second.backup"), 78).unwrap();
    again.audit.at = LATER.plus(MINUTE);
    let restored = Engine::restore(folder.sqlite("third.db"), again).await.unwrap();
    assert_eq!((restored.epoch, restored.grants_ended), (2, 0));
    let (first, third) = (folder.path("first.db"), folder.path("third.db"));
    for table in
        ["clients", "identity_links", "replays", "users", "audit_subjects", "audit_blocks", "audit_seals"]
    {
        assert_eq!(rows(&first, table), rows(&third, table), "{table}");
    }
    let kept = rows(&third, "audit_events");
    assert!(rows(&first, "audit_events").iter().all(|row| kept.contains(row)));
    assert_eq!(kept.len(), rows(&first, "audit_events").len() + 2);
    let facts = rows(&third, "meta");
    assert!(rows(&first, "meta").iter().all(|row| facts.contains(row)));
    assert!(rows(&third, "consents").is_empty(), "nothing is allowed in advance");
    let grants = rows(&third, "grants");
    assert_eq!(grants.len(), 2);
    Engine::open(folder.sqlite("third.db")).await.unwrap().check().await.unwrap();
}

async fn everything_that_was_allowed_is_ended_and_everything_that_was_forbidden_stays(store: Opened) {
    let folder = Folder::new();
    filled(&store).await;
    let bad = ClientId::parse("https://bad.example/client").unwrap();
    let blocked = revocation(RevocationKind::Client, bad.as_str());
    let tombstone = ClientRecord { kind: bad.kind(), client_id: bad.clone(), ..client() };
    store.block_client(tombstone, blocked.clone(), event(AuditKind::ClientBlocked)).await.unwrap();
    let account = connected(&store, 50, id(1), "notes").await;
    assert!(store.claim_connection(account, hash("claim", 1), LATER, NOW).await.unwrap());
    assert!(store.put_connecting(attempt(51, id(1), "ledger"), 20).await.unwrap());
    store.tamper("UPDATE users SET disabled_at = 1").await;
    assert!(store.last_restore().await.unwrap().is_none());
    back_up(&store, &folder.path("backup")).await;
    restore(folder.sqlite("new.db"), &folder.path("backup")).await.unwrap();
    let new = Engine::open(folder.sqlite("new.db")).await.unwrap();
    assert_eq!(new.last_restore().await.unwrap(), Some(LATER));
    for number in [1, 2] {
        let grant = new.find_grant(id(number)).await.unwrap().unwrap();
        assert_eq!(grant.revoked_at, Some(LATER), "told apart by this moment");
        assert!(new.find_by_code(hash("code", number)).await.unwrap().is_some(), "a replay is still known");
    }
    assert!(new.find_by_code(hash("code", 3)).await.unwrap().is_none(), "a code that was open is gone");
    assert!(new.find_authorization(id(4)).await.unwrap().is_none(), "and what was under way");
    assert!(new.find_browser_session(&hash("session", 1), NOW).await.unwrap().is_none());
    for key in new.list_keys().await.unwrap() {
        let is_new = key.id == KeyId::from_bytes([77; 4]);
        let signs = matches!(key.purpose, KeyPurpose::Signing | KeyPurpose::SigningRs256);
        assert_eq!(key.withdrawn_at.is_some(), signs && !is_new, "{key:?}");
    }
    let account = new.find_connection(id(1), "notes").await.unwrap().unwrap();
    let told = (account.needs_sign_in.as_deref(), account.claimed_until);
    assert_eq!(told, (Some("connection_restored"), None), "it may have been disconnected since");
    assert!(!new.claim_connection(account, hash("claim", 2), LATER.plus(DAY), LATER).await.unwrap());
    assert_eq!(new.find_connecting(hash("state", 51)).await.unwrap(), None);
    assert_eq!(new.list_ended_connections(LATER).await.unwrap(), [], "no provider hears of a drill");
    let revoked = new.list_revocations(LATER).await.unwrap();
    assert_eq!(revoked[0].kind, RevocationKind::Issuer);
    let all = new.list_revocations(NOW.minus(DAY)).await.unwrap();
    assert!(all.contains(&blocked), "who was blocked stays blocked");
    assert!(new.find_client(&bad).await.unwrap().unwrap().blocked_at.is_some());
    assert!(new.find_user(id(1)).await.unwrap().unwrap().disabled_at.is_some());
    let told = AuditFilter { kind: Some(AuditKind::Restored), ..AuditFilter::default() };
    assert_eq!(new.list_audit(told, None, 10).await.unwrap().len(), 1);
    new.check().await.unwrap();
}

async fn a_backup_is_not_restored_over_data_and_a_bad_one_not_at_all(store: Opened) {
    let folder = Folder::new();
    filled(&store).await;
    back_up(&store, &folder.path("backup")).await;
    let before = store.counts().await.unwrap();
    let again = restore(store.config(), &folder.path("backup")).await.unwrap_err();
    assert!(matches!(again, BackupError::NotEmpty(_)), "{again}");
    assert_eq!(store.counts().await.unwrap(), before);
    let bytes = std::fs::read(folder.path("backup")).unwrap();
    std::fs::write(folder.path("cut"), &bytes[..bytes.len() - 40]).unwrap();
    assert!(matches!(restore(folder.sqlite("new.db"), &folder.path("cut")).await, Err(BackupError::Cut)));
    // Another one in the place of the one that was verified, whole by itself and with as many rows.
    let verified = restoring(&folder.path("backup"), 77).unwrap();
    store.tamper("UPDATE users SET name = 'Eve'").await;
    back_up(&store, &folder.path("backup")).await;
    assert!(matches!(Engine::restore(folder.sqlite("new.db"), verified).await, Err(BackupError::Damaged)));
    // And half of it.
    let verified = restoring(&folder.path("backup"), 77).unwrap();
    std::fs::write(folder.path("backup"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(Engine::restore(folder.sqlite("new.db"), verified).await.is_err());
    assert!(!folder.path("new.db").exists(), "nothing is half there");
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 2, "and nothing lies about");
}

/// Whether everything that points to something finds it.
fn is_consistent(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    for astray in [
        "SELECT count(*) FROM grants WHERE user_id NOT IN (SELECT id FROM users)",
        "SELECT count(*) FROM grants WHERE authorization_id NOT IN (SELECT id FROM authorizations WHERE state = 'redeemed')",
        "SELECT count(*) FROM authorizations WHERE state = 'redeemed' AND id NOT IN (SELECT authorization_id FROM grants)",
        "SELECT abs((SELECT count(*) FROM grants) - (SELECT count(*) FROM audit_events WHERE kind = 'token_issued'))",
        "SELECT abs((SELECT sum(generation) FROM grants) - (SELECT count(*) FROM audit_events WHERE kind = 'token_refreshed'))",
        "SELECT count(*) FROM pragma_foreign_key_check",
    ] {
        let count: i64 = connection.query_row(astray, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0, "{astray}");
    }
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

async fn f_24_a_backup_under_load_is_one_moment(store: Opened) {
    let folder = Folder::new();
    let user = person(&store, 1).await.id;
    let over = Arc::new(AtomicBool::new(false));
    let made = Arc::new(AtomicU64::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (store, over, made) = (store.engine.clone(), Arc::clone(&over), Arc::clone(&made));
        writers.spawn(async move {
            let mut number = writer * 1_000_000;
            while !over.load(Ordering::SeqCst) {
                number += 1;
                granted(&store, number, user).await;
                let audit = event(AuditKind::TokenRefreshed);
                let now = NOW.plus(MINUTE);
                let rotate = Rotate {
                    grant: id(number),
                    from_generation: 0,
                    now,
                    idle_expires_at: now.plus(DAY),
                    audit,
                };
                assert_eq!(store.rotate(rotate).await.unwrap(), RotateOutcome::Rotated);
                made.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let mut seen = 0;
    for round in 0..4 {
        let goal = (round + 1) * 25;
        while made.load(Ordering::SeqCst) < goal {
            tokio::task::yield_now().await;
        }
        let (backup, name) = (folder.path("backup"), format!("{round}.db"));
        let before = made.load(Ordering::SeqCst);
        let counts = back_up(&store, &backup).await;
        assert!(counts["grants"] >= before.max(seen), "what was acknowledged before is in it");
        seen = counts["grants"];
        restore(folder.sqlite(&name), &backup).await.unwrap();
        is_consistent(&folder.path(&name));
    }
    over.store(true, Ordering::SeqCst);
    writers.join_all().await;
    assert!(made.load(Ordering::SeqCst) > seen, "it was written all the while");
}

async fn a_table_that_is_not_known_is_not_left_out_in_silence(store: Opened) {
    store.tamper("CREATE TABLE of_a_newer_release (id TEXT NOT NULL PRIMARY KEY)").await;
    let refused = store.back_up(std::io::sink(), ("0.1.0", NOW), silent()).await;
    assert!(matches!(refused, Err(BackupError::UnknownTable(table)) if table == "of_a_newer_release"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_moved_aside_only_when_asked_and_never_under_a_running_sekisho() {
    let folder = Folder::new();
    let store = Engine::open(folder.sqlite("record.db")).await.unwrap();
    filled(&store).await;
    back_up(&store, &folder.path("backup")).await;
    granted(&store, 50, id(1)).await;
    let replacing = |replace| {
        let mut restore = restoring(&folder.path("backup"), 77).unwrap();
        restore.replace = replace;
        Engine::restore(folder.sqlite("record.db"), restore)
    };
    let running = replacing(true).await.unwrap_err();
    assert!(matches!(&running, BackupError::NotEmpty(why) if why.contains("stop Sekisho")), "{running}");
    assert!(store.find_grant(id(50)).await.unwrap().is_some());
    drop(store);
    assert!(matches!(replacing(false).await, Err(BackupError::NotEmpty(_))));
    let restored = replacing(true).await.unwrap();
    let aside = restored.moved_to.unwrap();
    let new = Engine::open(folder.sqlite("record.db")).await.unwrap();
    assert!(new.find_grant(id(50)).await.unwrap().is_none());
    let old = Engine::open(EngineConfig::Sqlite { path: aside, synchronous_full: false }).await.unwrap();
    assert!(old.find_grant(id(50)).await.unwrap().is_some(), "nothing is lost");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(folder.path("record.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "for its owner alone");
}

/// After a kill the log lies beside the file; who then removes the file alone must not get what is in the log back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_what_was_there_is_not_read_into_what_is_restored() {
    let folder = Folder::new();
    let store = Engine::open(folder.sqlite("first.db")).await.unwrap();
    filled(&store).await;
    back_up(&store, &folder.path("backup")).await;
    let old = Engine::open(folder.sqlite("record.db")).await.unwrap();
    for number in 1..30 {
        old.put_meta(&format!("old {number}"), &"x".repeat(3000)).await.unwrap();
    }
    // As a killed process leaves it.
    let log = std::fs::read(folder.path("record.db-wal")).unwrap();
    assert!(log.len() > 30_000, "{}", log.len());
    drop(old);
    for there in [None, Some(b"no database, a longer file than none".as_slice())] {
        for suffix in ["", "-shm", "-wal"] {
            drop(std::fs::remove_file(folder.path(&format!("record.db{suffix}"))));
        }
        if let Some(bytes) = there {
            std::fs::write(folder.path("record.db"), bytes.repeat(200)).unwrap();
        }
        std::fs::write(folder.path("record.db-wal"), &log).unwrap();
        let mut restore = restoring(&folder.path("backup"), 77).unwrap();
        restore.replace = true;
        let restored = Engine::restore(folder.sqlite("record.db"), restore).await.unwrap();
        assert_eq!(restored.moved_to.is_some(), there.is_some());
        assert!(!folder.path("record.db-wal").exists(), "{there:?}");
        let new = Engine::open(folder.sqlite("record.db")).await.unwrap();
        assert!(new.find_grant(id(1)).await.unwrap().is_some());
        assert!(new.meta("old 1").await.unwrap().is_none());
        is_consistent(&folder.path("record.db"));
        let aside = folder.path("record.db.before-epoch-1-wal");
        // With a file beside it SQLite has had a look at it.
        assert!(there.is_some() || std::fs::read(&aside).unwrap() == log, "nothing is lost");
        drop(std::fs::remove_file(aside));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restores_of_one_backup_one_after_the_other_count_on_and_two_at_once_are_refused() {
    let folder = Folder::new();
    let store = Engine::open(folder.sqlite("record.db")).await.unwrap();
    filled(&store).await;
    back_up(&store, &folder.path("backup")).await;
    drop(store);
    let replacing = || {
        let mut restore = restoring(&folder.path("backup"), 77).unwrap();
        restore.replace = true;
        Engine::restore(folder.sqlite("record.db"), restore)
    };
    let mut aside = Vec::new();
    for epoch in 1..=3 {
        // A restore that was killed leaves these.
        std::fs::write(folder.path("record.db.restoring"), "half of it").unwrap();
        std::fs::write(folder.path(&format!("record.db.before-epoch-{epoch}")), "of another time").unwrap();
        let restored = replacing().await.unwrap();
        assert_eq!(restored.epoch, epoch);
        aside.extend(restored.moved_to);
    }
    assert_eq!(aside.len(), 3);
    assert!(aside.iter().all(|path| std::fs::metadata(path).unwrap().len() > 1000), "{aside:?}");
    assert!(!folder.path("record.db.restoring").exists());
    let busy = File::open(folder.0.path()).unwrap();
    busy.lock().unwrap();
    let refused = replacing().await.unwrap_err();
    assert!(refused.to_string().contains("another restore is at work"), "{refused}");
    drop(busy);
    replacing().await.unwrap();
}

/// How many grants the drill has; 1,000,000 for the figures in docs/backup.md.
fn drill() -> u64 {
    std::env::var("STORE_DRILL_GRANTS").ok().and_then(|count| count.parse().ok()).unwrap_or(5_000)
}

fn drilled(path: &Path, grants: u64) {
    let mut connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_update(None, "synchronous", "off").unwrap();
    let transaction = connection.transaction().unwrap();
    let (columns, of) = (
        "state, created_at, expires_at, reference, browser, address, network, client_id, resource, request",
        "authorizations",
    );
    let copy = format!(
        "INSERT INTO {of} (id, {columns}, code_hash, grant_id, redeemed_at) SELECT ?1, {columns}, ?1, ?1, redeemed_at \
         FROM {of} WHERE id = ?2"
    );
    let grant = "INSERT INTO grants (id, user_id, client_id, resource, server, scope, authorization_id, seed, generation, \
        rotated_at, created_at, last_used_at, idle_expires_at, expires_at, shown, revoked_at) SELECT ?1, user_id, client_id, resource, server, scope, ?1, seed, generation, \
        rotated_at, created_at, last_used_at, idle_expires_at, expires_at, shown, revoked_at FROM grants WHERE id = ?2";
    let like = id::<()>(1).as_bytes().to_vec();
    for number in 10..grants + 10 {
        // As ids are: by time, and then by chance.
        let mut made = id::<()>(number).as_bytes().to_vec();
        made[0..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        transaction.prepare_cached(&copy).unwrap().execute((&made, &like)).unwrap();
        transaction.prepare_cached(grant).unwrap().execute((&made, &like)).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_24_the_restore_drill_is_timed() {
    let folder = Folder::new();
    let store = Engine::open(folder.sqlite("full.db")).await.unwrap();
    filled(&store).await;
    drop(store);
    let grants = drill();
    drilled(&folder.path("full.db"), grants);
    let store = Engine::open(folder.sqlite("full.db")).await.unwrap();
    let begun = Instant::now();
    let counts = back_up(&store, &folder.path("backup")).await;
    assert_eq!(counts["grants"], grants + 2);
    let size = std::fs::metadata(folder.path("backup")).unwrap().len();
    println!("{grants} grants: backup {:?}, {} MiB", begun.elapsed(), size >> 20);
    let begun = Instant::now();
    let verified = restoring(&folder.path("backup"), 77).unwrap();
    println!("verified in {:?}", begun.elapsed());
    let restored = Engine::restore(folder.sqlite("new.db"), verified).await.unwrap();
    println!("restored into SQLite in {:?}", begun.elapsed());
    assert_eq!(restored.grants_ended, grants + 2);
    is_sound(&Engine::open(folder.sqlite("new.db")).await.unwrap(), grants).await;
    on_empty_postgres(async |config, url| {
        let begun = Instant::now();
        let restored = restore(config, &folder.path("backup")).await.unwrap();
        println!("restored into PostgreSQL in {:?}", begun.elapsed());
        assert_eq!(restored.grants_ended, grants + 2);
        let url = protocol::secret::Secret::new(url);
        let new = Engine::open(EngineConfig::Postgres { url, pool_size: 2, ca: None }).await.unwrap();
        is_sound(&new, grants).await;
    })
    .await;
}

async fn is_sound(store: &Engine, grants: u64) {
    assert_eq!(store.counts().await.unwrap().grants, grants + 2);
    assert_eq!(store.find_grant(id(1)).await.unwrap().unwrap().revoked_at, Some(LATER));
    store.ready().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_empty_or_not_there_is_room() {
    on_empty_sqlite(async |config, path| {
        let folder = Folder::new();
        let store = Engine::open(folder.sqlite("first.db")).await.unwrap();
        filled(&store).await;
        back_up(&store, &folder.path("backup")).await;
        drop(Engine::open(config).await.unwrap());
        let at = EngineConfig::Sqlite { path: path.clone(), synchronous_full: true };
        assert_eq!(restore(at, &folder.path("backup")).await.unwrap().moved_to, None);
        let at = EngineConfig::Sqlite { path, synchronous_full: true };
        assert!(Engine::open(at).await.unwrap().find_grant(id(1)).await.unwrap().is_some());
    })
    .await;
}

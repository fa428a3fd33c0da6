//! What an audit event of a call costs, to be counted in instructions rather than in time:
//!
//! ```text
//! cargo build -p store --release --example audit_cost
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/audit_cost rows 20480
//! ```
//!
//! `rows` makes and writes a row for each, `blocks` packs them; `nothing` is what is to be taken off both.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement: it stops at the first mistake and takes its arguments from the command line"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::id::Id;
use protocol::world::Timestamp;
use store::{
    AuditBlock, AuditBlocks as _, AuditEvent, AuditEvents as _, AuditKind, AuditSubject, CallEvent, Engine,
    EngineConfig, Outcome, Queries as _,
};

const BATCH: u64 = 512;
const AT: Timestamp = Timestamp::from_micros(1_800_000_000_123_456);

fn client() -> String {
    format!("dcr_{}", "A".repeat(200))
}

fn call(number: u64, client_id: &str) -> CallEvent<'_> {
    let mut id = [7; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    CallEvent {
        id: Id::from_bytes(id),
        at: AT.plus(Duration::from_micros(number * 35)),
        outcome: Outcome::Ok,
        reason: None,
        user: Some(Id::from_bytes([1; 16])),
        client_id: Some(client_id),
        server: Some("bench"),
        grant: Some(Id::from_bytes([2; 16])),
        subject: Some([3; 16]),
        method: "tools/call",
        name: Some("search"),
        status: 200,
        duration_ms: 1,
        bytes: 300,
    }
}

fn event(call: &CallEvent<'_>) -> AuditEvent {
    let mut event = AuditEvent::new(call.id, call.at, AuditKind::Call, call.outcome);
    event.user = call.user;
    event.client_id = call.client_id.map(str::to_owned);
    event.server = call.server.map(str::to_owned);
    event.grant = call.grant;
    event.subject = call.subject.map(|_| subject());
    event.detail = BTreeMap::from([
        ("bytes", call.bytes.to_string()),
        ("duration_ms", call.duration_ms.to_string()),
        ("method", call.method.to_owned()),
        ("status", call.status.to_string()),
    ]);
    if let Some(name) = call.name {
        event.detail.insert("name", name.to_owned());
    }
    event
}

fn subject() -> AuditSubject {
    AuditSubject { salt: [3; 16], name: Some("Ada".to_owned()), address: Some("192.0.2.7".to_owned()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, how, count] = arguments.as_slice() else { panic!("rows|blocks|nothing COUNT") };
    let count: u64 = count.parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.db");
    let store = Engine::open(EngineConfig::Sqlite { path, synchronous_full: false }).await.unwrap();
    let client = client();
    for batch in 0..count / BATCH {
        let calls: Vec<_> =
            (batch * BATCH..(batch + 1) * BATCH).map(|number| call(number, &client)).collect();
        match how.as_str() {
            "rows" => store.append_audit(calls.iter().map(event).collect()).await.unwrap(),
            "blocks" => drop(store.append_blocks(&AuditBlock::pack(calls), &[], &[]).await.unwrap()),
            _ => drop(calls),
        }
    }
    println!("{} events", store.counts().await.unwrap().audit_events);
}

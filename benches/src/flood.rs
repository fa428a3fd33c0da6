//! A flood of registrations beside clients that go on working: what these notice of it, and what it leaves in the record.
//!
//! The limits by address are off: each registration is read, checked, answered. The calls only read and are not written
//! down, so that whatever changes in the record is of the flood.

use std::time::Duration;

use crate::flows::{self, CONNECTIONS, Session};
use crate::load::{Seen, repeat_paced};
use crate::peer::Peer;
use crate::pin::Core;
use crate::product::{Product, Setup, rows};
use crate::rounds::Rounds;
use crate::table::Table;
use crate::{Outcome, Plan, calls};

/// Registrations a second that are offered.
const OFFERED: u32 = 10_000;
/// Calls a second of those who go on.
const CALLS: u32 = 1000;
/// Connections of the flood.
const FLOODING: usize = 64;
/// How many times a round is as long as elsewhere: six of them make a minute.
const LONG: f64 = 5.0;
const FLOODS: usize = 6;

/// Measures in turns: calm, flood.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let setup = Setup { read_only_calls: false, ..Setup::new(&upstream.url) };
    let product = Product::start(&setup).await?;
    let session = flows::sign_in(&product).await?;
    let seconds = plan.seconds * LONG;
    going_on(&product, &session, plan.seconds).await?;
    let (mut calm, mut flooded, mut ratio) = (Rounds::default(), Rounds::default(), Rounds::default());
    let (mut reached, mut usual, mut cpu) = (Rounds::default(), Rounds::default(), Rounds::default());
    let record = product.record().await?;
    let (rows_before, bytes_before) = (rows(&record).await?, product.bytes());
    for _ in 0..FLOODS {
        let before = going_on(&product, &session, plan.seconds * 2.0).await?;
        let busy = product.peer.cpu_seconds()?;
        let (during, flood) = tokio::join!(going_on(&product, &session, seconds), flood(&product, seconds));
        let (during, flood) = (during?, flood?);
        cpu.push((product.peer.cpu_seconds()? - busy) / during.seconds * 100.0);
        calm.push(before.quantile(0.99));
        flooded.push(during.quantile(0.99));
        ratio.push(during.quantile(0.99) / before.quantile(0.99));
        reached.push(flood.rate());
        usual.push(during.rate());
    }
    let (rows_after, bytes_after) = (rows(&record).await?, product.bytes());
    let total = seconds * 6.0;
    table.row(
        "registrations offered, and answered",
        &format!("{OFFERED} /s for {total:.0} s; {}", reached.show("/s", 0)),
        "10,000 /s for 60 s",
    );
    table.row("CPU of Sekisho meanwhile", &cpu.show("% of a core", 0), "–");
    table.row("calls that go on", &format!("{} of {CALLS}", usual.show("/s", 0)), "–");
    let (calm, flooded) = (calm.show("µs", 0), flooded.show("µs", 0));
    table.row(
        "p99 of these calls",
        &format!("{calm} in calm, {flooded} in the flood: {}", ratio.show("×", 2)),
        "2 ×",
    );
    // Registrations are counted, some lines a minute however many there are.
    let told = rows_after.audit_events - rows_before.audit_events;
    let rows_after = store::Counts { audit_events: rows_before.audit_events, ..rows_after };
    let same = |same: bool| if same { "unchanged" } else { "CHANGED" };
    let measured = format!(
        "rows {}: {rows_before:?} → {rows_after:?}; bytes {}: {bytes_before:?} → {bytes_after:?}",
        same(rows_before == rows_after),
        same(bytes_before == bytes_after)
    );
    anstream::eprintln!("{measured}");
    let rows = same(rows_before == rows_after);
    let (file, log) = (bytes_before.0, bytes_before.1);
    let measured = format!(
        "rows {rows} but for {told} events that count registrations, bytes {} ({file} and {log} of its log)",
        same(bytes_before == bytes_after)
    );
    table.row("the record after the flood", &measured, "unchanged");
    Ok(())
}

async fn going_on(product: &Product, session: &Session, seconds: f64) -> Outcome<Seen> {
    let pace = Duration::from_secs(1) * u32::try_from(CONNECTIONS).unwrap_or(1) / CALLS;
    repeat_paced(&product.target, calls::checked(session), CONNECTIONS, seconds, Some(pace)).await
}

async fn flood(product: &Product, seconds: f64) -> Outcome<Seen> {
    let pace = Duration::from_secs(1) * u32::try_from(FLOODING).unwrap_or(1) / OFFERED;
    repeat_paced(&product.target, flows::registration(), FLOODING, seconds, Some(pace)).await
}

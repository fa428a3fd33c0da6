//! A flood of registrations beside clients that go on working: what these notice of it, and what it leaves in the record.
//!
//! Beside it the same flood at a bare server that answers all registrations with one text and passes the calls on: load
//! generator and MCP server share a core, and what the flood does to them there is not of Sekisho.
//!
//! The limits by address are off: each registration is read, checked, answered. The calls only read and are not written
//! down, so that whatever changes in the record is of the flood.

use std::time::Duration;

use crate::flows::{self, CONNECTIONS};
use crate::load::{Seen, Target, Template, count, repeat_paced};
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
/// Rounds.
const FLOODS: usize = 6;

/// Whose calls, and where the flood goes.
struct Place<'a> {
    peer: &'a Peer,
    target: Target,
    call: Template,
}

/// What the rounds at one place saw.
#[derive(Debug, Default)]
struct Floods {
    calm: Rounds,
    flooded: Rounds,
    ratio: Rounds,
    reached: Rounds,
    usual: Rounds,
    cpu: Rounds,
}

/// Measures in turns: calm, flood, and the same at the bare server.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let bare = Peer::start_self(&["passthrough", &upstream.url], Core::Measured).await?;
    let setup = Setup { read_only_calls: false, ..Setup::new(&upstream.url) };
    let product = Product::start(&setup).await?;
    let session = flows::sign_in(&product).await?;
    let ours = Place { peer: &product.peer, target: product.target.clone(), call: calls::checked(&session) };
    let least = Place { peer: &bare, target: Target::of(&bare.url)?, call: calls::call("/mcp", None) };
    going_on(&ours, plan.seconds).await?;
    going_on(&least, plan.seconds).await?;
    let record = product.record().await?;
    let (rows_before, bytes_before) = (rows(&record).await?, product.bytes());
    let (mut seen, mut control) = (Floods::default(), Floods::default());
    for _ in 0..FLOODS {
        round(plan, &ours, &mut seen).await?;
        round(plan, &least, &mut control).await?;
    }
    let (rows_after, bytes_after) = (rows(&record).await?, product.bytes());
    show(plan, &seen, &control, table);
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

/// Calm, and then the flood.
async fn round(plan: &Plan, place: &Place<'_>, seen: &mut Floods) -> Outcome<()> {
    let seconds = plan.seconds * LONG;
    let before = going_on(place, plan.seconds * 2.0).await?;
    let busy = place.peer.cpu_seconds()?;
    let (during, flood) = tokio::join!(going_on(place, seconds), flood(place, seconds));
    let (during, flood) = (during?, flood?);
    seen.cpu.push((place.peer.cpu_seconds()? - busy) / during.seconds * 100.0);
    seen.calm.push(before.quantile(0.99));
    seen.flooded.push(during.quantile(0.99));
    seen.ratio.push(during.quantile(0.99) / before.quantile(0.99));
    seen.reached.push(flood.rate());
    seen.usual.push(during.rate());
    Ok(())
}

fn show(plan: &Plan, seen: &Floods, control: &Floods, table: &mut Table) {
    let total = plan.seconds * LONG * count(FLOODS);
    let least = |rounds: &Rounds| format!("{:.0}", rounds.median());
    let reached = format!("{}; bare server {}", seen.reached.show("/s", 0), least(&control.reached));
    table.row(
        "registrations offered, and answered",
        &format!("{OFFERED} /s for {total:.0} s; {reached}"),
        "10,000 /s for 60 s",
    );
    let cpu = format!("{}; bare server {} %", seen.cpu.show("% of a core", 0), least(&control.cpu));
    table.row("CPU meanwhile", &cpu, "–");
    let usual = format!("{} of {CALLS}; bare server {}", seen.usual.show("/s", 0), least(&control.usual));
    table.row("calls that go on", &usual, "–");
    for (what, floods, goal) in [
        ("p99 of these calls", seen, "2 ×"),
        ("p99 of the same calls beside the same flood, bare server", control, "–"),
    ] {
        let (calm, flooded) = (floods.calm.show("µs", 0), floods.flooded.show("µs", 0));
        let ratio = floods.ratio.show("×", 2);
        table.row(what, &format!("{calm} in calm, {flooded} in the flood: {ratio}"), goal);
    }
}

async fn going_on(place: &Place<'_>, seconds: f64) -> Outcome<Seen> {
    let pace = Duration::from_secs(1) * u32::try_from(CONNECTIONS).unwrap_or(1) / CALLS;
    repeat_paced(&place.target, place.call.clone(), CONNECTIONS, seconds, Some(pace)).await
}

async fn flood(place: &Place<'_>, seconds: f64) -> Outcome<Seen> {
    let pace = Duration::from_secs(1) * u32::try_from(FLOODING).unwrap_or(1) / OFFERED;
    repeat_paced(&place.target, flows::registration(), FLOODING, seconds, Some(pace)).await
}

//! A flood of registrations beside clients that go on working: what these notice of it, and what it leaves in the record.
//!
//! Beside it the same flood at a bare server that answers all registrations with one text and passes the calls on: load
//! generator and MCP server share a core, and what the flood does to them there is not of Sekisho.
//!
//! The limits by address are off, and then as shipped: without them each registration is read, checked, answered. The
//! calls only read and are not written down, so that whatever changes in the record is of the flood.

use std::time::Duration;

use http::StatusCode;

use crate::flows::{self, CONNECTIONS, Session};
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
    /// With what a registration may be refused.
    refused: Option<StatusCode>,
}

impl<'a> Place<'a> {
    fn of(product: &'a Product, session: &Session, refused: Option<StatusCode>) -> Self {
        Self { peer: &product.peer, target: product.target.clone(), call: calls::checked(session), refused }
    }
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

/// Measures in turns: calm, flood, the same with the limits that are shipped, and the same at the bare server.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let bare = Peer::start_self(&["passthrough", &upstream.url], Core::Measured).await?;
    let setup = Setup { read_only_calls: false, ..Setup::new(&upstream.url) };
    let product = Product::start(&setup).await?;
    let session = flows::sign_in(&product).await?;
    let limited = Product::start(&Setup { registrations: None, ..setup.clone() }).await?;
    let places = [
        Place::of(&product, &session, None),
        Place::of(&limited, &flows::sign_in(&limited).await?, Some(StatusCode::TOO_MANY_REQUESTS)),
        Place { peer: &bare, target: Target::of(&bare.url)?, call: calls::call("/mcp", None), refused: None },
    ];
    for place in &places {
        going_on(place, plan.seconds).await?;
    }
    let record = product.record().await?;
    let (rows_before, bytes_before) = (rows(&record).await?, product.bytes());
    let mut seen: [Floods; 3] = Default::default();
    for _ in 0..FLOODS {
        for (place, seen) in places.iter().zip(&mut seen) {
            round(plan, place, seen).await?;
        }
    }
    let (rows_after, bytes_after) = (rows(&record).await?, product.bytes());
    show(plan, &seen, table);
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

fn show(plan: &Plan, [open, limited, bare]: &[Floods; 3], table: &mut Table) {
    let total = plan.seconds * LONG * count(FLOODS);
    let beside = |rounds: fn(&Floods) -> &Rounds| {
        let (limited, bare) = (rounds(limited).median(), rounds(bare).median());
        format!("with the limits that are shipped {limited:.0}, bare server {bare:.0}")
    };
    let reached = format!("{}; {}", open.reached.show("/s", 0), beside(|floods| &floods.reached));
    table.row(
        "registrations offered, and answered",
        &format!("{OFFERED} /s for {total:.0} s; {reached}"),
        "10,000 /s for 60 s",
    );
    let cpu = format!("{}; {}", open.cpu.show("% of a core", 0), beside(|floods| &floods.cpu));
    table.row("CPU meanwhile", &cpu, "–");
    let usual = format!("{} of {CALLS}; {}", open.usual.show("/s", 0), beside(|floods| &floods.usual));
    table.row("calls that go on", &usual, "–");
    for (what, floods, goal) in [
        ("p99 of these calls, no limits: every registration is answered", open, "2 ×"),
        ("p99 of these calls, the limits that are shipped: nearly all are told to wait", limited, "2 ×"),
        ("p99 of the same calls beside the same flood, bare server", bare, "–"),
    ] {
        let (calm, flooded) = (floods.calm.show("µs", 0), floods.flooded.show("µs", 0));
        let ratio = floods.ratio.show("×", 2);
        table.row(what, &format!("{calm} in calm, {flooded} in the flood: {ratio}"), goal);
    }
}

async fn going_on(place: &Place<'_>, seconds: f64) -> Outcome<Seen> {
    let pace = Duration::from_secs(1) * u32::try_from(CONNECTIONS).unwrap_or(1) / CALLS;
    repeat_paced(&place.target, place.call.clone(), CONNECTIONS, seconds, (Some(pace), None)).await
}

async fn flood(place: &Place<'_>, seconds: f64) -> Outcome<Seen> {
    let pace = Duration::from_secs(1) * u32::try_from(FLOODING).unwrap_or(1) / OFFERED;
    repeat_paced(&place.target, flows::registration(), FLOODING, seconds, (Some(pace), place.refused)).await
}

//! What the audit costs a call that only reads: the same calls with `[audit] read_only_calls` on and off. And one that may
//! change something, and is durable in the record before it is forwarded.

use crate::flows::{self, CONNECTIONS, Session};
use crate::load::{count, repeat};
use crate::peer::Peer;
use crate::pin::Core;
use crate::product::{Product, Setup, rows};
use crate::rounds::{Line, Rounds};
use crate::table::Table;
use crate::{Outcome, Plan, calls};

/// Twice as many rounds as elsewhere: it is a small difference.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let setup = Setup::new(&upstream.url);
    let on = Product::start(&setup).await?;
    let off = Product::start(&Setup { read_only_calls: false, ..setup }).await?;
    let (session_on, session_off) = (flows::sign_in(&on).await?, flows::sign_in(&off).await?);
    let round = async |product: &Product, session: &Session, line: &mut Line| {
        let work = repeat(&product.target, calls::checked(session), CONNECTIONS, plan.seconds);
        line.round(&product.peer, work).await
    };
    // The first calls find out which tools only read.
    round(&off, &session_off, &mut Line::default()).await?;
    let before = rows(&off.record().await?).await?.audit_events;
    let (mut with, mut without, mut difference) = (Line::default(), Line::default(), Rounds::default());
    for index in 0..plan.rounds * 2 {
        // Whoever goes first has no advantage.
        let (audited, plain) = if index.is_multiple_of(2) {
            let audited = round(&on, &session_on, &mut with).await?;
            (audited, round(&off, &session_off, &mut without).await?)
        } else {
            let plain = round(&off, &session_off, &mut without).await?;
            (round(&on, &session_on, &mut with).await?, plain)
        };
        difference.push(audited - plain);
    }
    let (mut writing, mut ratio) = (Line::default(), Rounds::default());
    for _ in 0..plan.rounds {
        let work = repeat(&on.target, calls::writing(&session_on), CONNECTIONS, plan.seconds);
        let changes = writing.round(&on.peer, work).await?;
        ratio.push(changes / round(&on, &session_on, &mut Line::default()).await?);
    }
    table.row(
        "CPU per call that may change something, written down before and after",
        &writing.cpu.show("µs", 2),
        "–",
    );
    table.row("the same, of one that only reads", &ratio.show("×", 2), "–");
    table.row(
        "calls that may change something, each with its commit, in a second",
        &writing.rate.show("/s", 0),
        "–",
    );
    table.row("CPU per read-only call, each written down", &with.cpu.show("µs", 2), "–");
    table.row("CPU per read-only call, none written down", &without.cpu.show("µs", 2), "–");
    table.row("what the audit of a read-only call costs", &difference.show("µs", 2), "2 µs");
    let calls = rows(&on.record().await?).await?.audit_events;
    let none = rows(&off.record().await?).await?.audit_events.saturating_sub(before);
    let bytes = on.bytes().0;
    let each =
        count(usize::try_from(bytes).unwrap_or_default()) / count(usize::try_from(calls).unwrap_or(1).max(1));
    table.row(
        "events in the record afterwards",
        &format!("{calls}, {each:.0} bytes of file each; with the setting off {none}"),
        "–",
    );
    Ok(())
}

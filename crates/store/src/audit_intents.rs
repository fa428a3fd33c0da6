//! Intent before effect (product.md, P-18): a call that may change something stands here from before it is forwarded until
//! its event is written, which takes it away in the same write. What stays behind when its node is gone becomes an event
//! of a call whose outcome nobody knows. If the node was only held, how its calls ended is told beside that event and not by a
//! second one of the call: what is settled is remembered for that.
//!
//! Must never be what only reads, and never a token or an argument.

use std::time::Duration;

use protocol::id::{Grant, Id, User};
use protocol::world::{Timestamp, between_nodes};

use crate::audit_events::{self, AuditEvent, AuditKind, AuditSubject, Outcome};
use crate::codec::Decoder;
use crate::engine::{Engine, Expect, Row, Step, Value, Write, Written, params};
use crate::queries::{AuditFilter, AuditRow};
use crate::statements::statement_list;
use crate::{Answer, StoreError, audit_seals};

type EventId = Id<protocol::id::AuditEvent>;

/// A node that was not heard of for so long is gone: it tells of itself four times as often.
pub(crate) const GONE_AFTER: Duration = between_nodes(Duration::from_secs(60));
/// A node that was seen further ahead than that had a wrong clock, and is gone, or has said so since with a right one.
const NOBODY_IS_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);
/// Ids per statement, as many as `COMPLETE`, `SETTLED` and `TELL` have parameters.
const IDS_AT_ONCE: usize = 16;
/// Calls that are settled in one write.
const AT_ONCE: u32 = 100;
/// How long what is settled is remembered: longer than anything is held that goes on after all.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A call that is about to be forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallIntent {
    /// The id that its event will have.
    pub id: EventId,
    /// When the call began.
    pub at: Timestamp,
    /// Who.
    pub user: Id<User>,
    /// With which client.
    pub client_id: String,
    /// At which MCP server, by our name.
    pub server: String,
    /// Under which grant.
    pub grant: Id<Grant>,
    /// The method of the message.
    pub method: String,
    /// What is called: a tool, a task.
    pub called: Option<String>,
    /// The person's e-mail address; where there is none, their name.
    pub name: Option<String>,
    /// Address they came from.
    pub address: Option<String>,
}

/// Calls on their way.
pub trait AuditIntents: Send + Sync {
    /// Writes down what is about to be forwarded by this node, which is heard of by it; all or none, durable when answered.
    /// One that is there already stays as it is.
    fn append_intents<'a>(
        &'a self,
        node: [u8; 16],
        intents: &'a [CallIntent],
        now: Timestamp,
    ) -> Answer<'a, ()>;

    /// This node is there.
    fn note_node(&self, node: [u8; 16], now: Timestamp) -> Answer<'_, ()>;

    /// What is on its way, or was when its node ended; oldest first, at most `limit`. Reads the whole table, which is as
    /// long as calls are on their way.
    fn list_intents(&self, filter: AuditFilter, limit: u32) -> Answer<'_, Vec<AuditRow>>;

    /// Has the calls of nodes that are gone written down as events whose outcome is unknown, and remembers which. How many.
    /// `chance` is new each time: the names of these calls are salted by it.
    fn settle_intents(&self, now: Timestamp, chance: [u8; 16]) -> Answer<'_, u64>;
}

statement_list! {
    NOTE_NODE = "INSERT INTO nodes (id, seen_at) VALUES ($1, $2) \
        ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
    PUT = "INSERT INTO audit_intents (id, node, at, user_id, client_id, server, grant_id, method, called, name, address) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING";
    LIST = "SELECT id, at, user_id, client_id, server, grant_id, method, called, name, address FROM audit_intents \
        WHERE at >= $1 AND at < $2 AND (CAST($3 AS BYTEA) IS NULL OR user_id = $3) \
        AND (CAST($4 AS TEXT) IS NULL OR client_id = $4) AND (CAST($5 AS TEXT) IS NULL OR server = $5) \
        ORDER BY at, id LIMIT $6";
    COMPLETE = "DELETE FROM audit_intents \
        WHERE id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    LOST = "SELECT id, at, user_id, client_id, server, grant_id, method, called, name, address FROM audit_intents \
        WHERE NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = audit_intents.node AND n.seen_at BETWEEN $1 AND $2) \
        ORDER BY at, id LIMIT $3";
    // Of a node that is heard of again meanwhile nothing is settled.
    SETTLE = "DELETE FROM audit_intents WHERE id = $1 AND NOT EXISTS \
        (SELECT 1 FROM nodes n WHERE n.id = audit_intents.node AND n.seen_at BETWEEN $2 AND $3)";
    FORGET_NODES = "DELETE FROM nodes WHERE seen_at NOT BETWEEN $1 AND $2 AND NOT EXISTS \
        (SELECT 1 FROM audit_intents i WHERE i.node = nodes.id)";
    REMEMBER = "INSERT INTO settled_intents (id, settled_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    SETTLED = "SELECT id FROM settled_intents \
        WHERE id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    TELL = "DELETE FROM settled_intents \
        WHERE id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    FORGET = "DELETE FROM settled_intents WHERE settled_at < $1";
}

impl AuditIntents for Engine {
    fn append_intents<'a>(
        &'a self,
        node: [u8; 16],
        intents: &'a [CallIntent],
        now: Timestamp,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut steps = vec![Step::one(NOTE_NODE, params![node, now])];
            steps.extend(intents.iter().map(|intent| put(node, intent)));
            match self.write(Write::new(steps)).await? {
                Written::Done(_) => Ok(()),
                Written::Missed(_) => Err(StoreError::unavailable("an intended call was not taken")),
            }
        })
    }

    fn note_node(&self, node: [u8; 16], now: Timestamp) -> Answer<'_, ()> {
        Box::pin(async move {
            self.write(Write::new(vec![Step::one(NOTE_NODE, params![node, now])])).await.map(drop)
        })
    }

    fn list_intents(&self, filter: AuditFilter, limit: u32) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(async move {
            if filter.reference.is_some() || filter.kind.is_some_and(|kind| kind != AuditKind::Call) {
                return Ok(Vec::new());
            }
            let wanted = params![
                filter.since.unwrap_or(Timestamp::from_micros(i64::MIN)),
                filter.until.unwrap_or(Timestamp::from_micros(i64::MAX)),
                filter.user,
                filter.client_id.as_deref(),
                filter.server.as_deref(),
                limit,
            ];
            let rows = self.many(LIST, wanted).await?;
            rows.into_iter().map(|row| Ok(shown(decode(row)?))).collect()
        })
    }

    fn settle_intents(&self, now: Timestamp, chance: [u8; 16]) -> Answer<'_, u64> {
        Box::pin(async move {
            let (heard, ahead) = (now.minus(GONE_AFTER), now.plus(NOBODY_IS_AHEAD));
            let mut settled = 0;
            loop {
                let rows = self.many(LOST, params![heard, ahead, AT_ONCE]).await?;
                let is_last = rows.len() < AT_ONCE as usize;
                let mut steps = Vec::with_capacity(rows.len() * 4);
                let lost = rows.into_iter().map(decode).collect::<Result<Vec<_>, _>>()?;
                steps.extend(lost.iter().map(|intent| Step::one(SETTLE, params![intent.id, heard, ahead])));
                steps.extend(lost.iter().map(|intent| Step::at_most_one(REMEMBER, params![intent.id, now])));
                let count = lost.len() as u64;
                let events: Vec<AuditEvent> =
                    lost.into_iter().map(|intent| unknown(intent, now, &chance)).collect();
                audit_events::push_all(&mut steps, &events)?;
                // Somebody else settles them as well: they are settled.
                match self.write(Write::new(steps).long()).await? {
                    Written::Done(_) => settled += count,
                    Written::Missed(_) => return Ok(settled),
                }
                if is_last {
                    let nodes = Step::any(FORGET_NODES, params![heard, ahead]);
                    let calls = Step::any(FORGET, params![now.minus(REMEMBERED)]);
                    self.write(Write::new(vec![nodes, calls])).await?;
                    return Ok(settled);
                }
            }
        })
    }
}

fn put(node: [u8; 16], intent: &CallIntent) -> Step {
    let row = params![
        intent.id,
        node,
        intent.at,
        intent.user,
        intent.client_id.as_str(),
        intent.server.as_str(),
        intent.grant,
        intent.method.as_str(),
        intent.called.as_deref(),
        intent.name.as_deref(),
        intent.address.as_deref(),
    ];
    Step::at_most_one(PUT, row)
}

/// The steps that take away what is written down as over. They undo the write if any of it, but what is `late`, was settled:
/// in this order, so that of a settlement at the same moment one waits for the other and sees it.
pub(crate) fn complete(over: &[EventId], late: &[EventId]) -> Vec<Step> {
    let punctual: Vec<EventId> = over.iter().copied().filter(|id| !late.contains(id)).collect();
    let gone = some_at_once(over).map(|some| Step::any(COMPLETE, some));
    let unsettled = some_at_once(&punctual).map(|some| Step::new(TELL, some, Expect::Exactly(0)));
    gone.chain(unsettled).chain(some_at_once(late).map(|some| Step::any(TELL, some))).collect()
}

/// Which of these were settled.
pub(crate) async fn settled(engine: &Engine, ids: &[EventId]) -> Result<Vec<EventId>, StoreError> {
    let mut settled = Vec::new();
    for some in some_at_once(ids) {
        for row in engine.many(SETTLED, some).await? {
            settled.push(Decoder::new("settled_intents", row).id("id")?);
        }
    }
    Ok(settled)
}

/// Ids as the parameters of statements that take so many.
fn some_at_once(ids: &[EventId]) -> impl Iterator<Item = Vec<Value>> {
    ids.chunks(IDS_AT_ONCE).filter_map(|some| {
        let first = *some.first()?;
        let padded = some.iter().copied().chain(std::iter::repeat(first)).take(IDS_AT_ONCE);
        Some(padded.map(Value::from).collect())
    })
}

fn decode(row: Row) -> Result<CallIntent, StoreError> {
    let mut row = Decoder::new("audit_intents", row);
    Ok(CallIntent {
        id: row.id("id")?,
        at: row.time("at")?,
        user: row.id("user_id")?,
        client_id: row.text("client_id")?,
        server: row.text("server")?,
        grant: row.id("grant_id")?,
        method: row.text("method")?,
        called: row.opt_text("called")?,
        name: row.opt_text("name")?,
        address: row.opt_text("address")?,
    })
}

/// As it is shown while it is on its way.
fn shown(intent: CallIntent) -> AuditRow {
    let mut detail: std::collections::BTreeMap<String, String> =
        [("method".to_owned(), intent.method)].into();
    detail.extend(intent.called.map(|called| ("name".to_owned(), called)));
    AuditRow {
        id: intent.id,
        at: intent.at,
        kind: AuditKind::Call.as_str().to_owned(),
        outcome: Outcome::Unknown,
        reason: Some(ON_ITS_WAY.to_owned()),
        reference: None,
        user: Some(intent.user),
        client_id: Some(intent.client_id),
        server: Some(intent.server),
        grant: Some(intent.grant),
        name: intent.name,
        address: intent.address,
        detail,
        sealed: false,
    }
}

/// On its way, or cut off and not yet found.
const ON_ITS_WAY: &str = "on_its_way";

/// The event of a call whose node ended before it could say how the call did. It is of the time when that was found.
fn unknown(intent: CallIntent, now: Timestamp, chance: &[u8; 16]) -> AuditEvent {
    let mut event = AuditEvent::new(intent.id, now, AuditKind::Call, Outcome::Unknown);
    event.reason = Some("node_gone");
    event.user = Some(intent.user);
    event.client_id = Some(intent.client_id);
    event.server = Some(intent.server);
    event.grant = Some(intent.grant);
    event.detail.insert("begun_at", intent.at.micros().to_string());
    event.detail.insert("method", intent.method);
    event.detail.extend(intent.called.map(|called| ("name", called)));
    let salt = audit_seals::salt(chance, intent.id.as_bytes());
    event.subject = Some(AuditSubject { salt, name: intent.name, address: intent.address });
    event
}

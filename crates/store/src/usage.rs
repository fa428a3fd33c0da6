//! What was called, by the hour: summed up from sealed audit events, each seal once on however many nodes.
//!
//! A roll-up says in the same write up to which seal it has come, so that of two nodes one counts. Must never count what is
//! not sealed: that would be counted again.

use std::collections::BTreeMap;

use protocol::id::{Id, User};
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::queries::{AuditRow, audit};
use crate::statements::statement_list;
use crate::{Answer, AuditKind, AuditSeals as _, KeysRecord as _, Outcome, StoreError};

/// Where a latency is counted: up to so many milliseconds, and what is longer.
pub const LATENCIES_MS: [u64; 7] = [10, 30, 100, 300, 1_000, 3_000, 10_000];
const BUCKETS: usize = LATENCIES_MS.len() + 1;
const HOUR: i64 = 3_600_000_000;
/// Seals that are counted in one write, at most, and rows after which no further one is.
const SEALS: u32 = 32;
const ROWS: usize = 20_000;
/// The longest client and tool that stand as they are, in bytes: PostgreSQL takes 2,704 in the key of a table.
const LONGEST_CLIENT: usize = 512;
const LONGEST_CALLED: usize = 256;
/// Who called where nobody is known.
const NOBODY: [u8; 16] = [0; 16];
/// Up to which seal everything is counted.
const CURSOR: &str = "usage_seal";

/// What is summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls, however they ended.
    pub calls: u64,
    /// Of these, failed or of unknown outcome.
    pub failed: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Bytes of answers.
    pub bytes: u64,
    /// How many took how long.
    pub latencies: [u64; BUCKETS],
    /// People.
    pub people: u64,
}

/// By what usage is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    /// By client.
    Client,
    /// By hour.
    Hour,
    /// By person.
    Person,
    /// By MCP server.
    Server,
    /// By MCP server and tool, or method.
    Tool,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageOf {
    /// A client.
    Client(String),
    /// The hour that begins then.
    Hour(Timestamp),
    /// A person; `None` where nobody is known.
    Person(Option<Id<User>>),
    /// An MCP server.
    Server(String),
    /// A tool, or a method, of an MCP server.
    Tool(String, String),
}

/// The usage in the record.
pub trait UsageRecord: Send + Sync {
    /// Sums up the next seals. How many there were; 0 when there are no more.
    fn roll_up_usage(&self) -> Answer<'_, u64>;

    /// Forgets the hours before this. How many lines.
    fn remove_usage(&self, before: Timestamp) -> Answer<'_, u64>;

    /// What was used from one moment to another, to the hour; what was used most comes first, hours in their order.
    fn usage(&self, by: UsageBy, since: Timestamp, until: Timestamp) -> Answer<'_, Vec<(UsageOf, Usage)>>;
}

macro_rules! sums {
    ($of:literal, $by:literal, $order:literal) => {
        concat!(
            "SELECT ", $of, ", CAST(COALESCE(SUM(calls), 0) AS BIGINT), CAST(COALESCE(SUM(failed), 0) AS BIGINT), CAST(COALESCE(SUM(refused), 0) AS BIGINT), \
             CAST(COALESCE(SUM(bytes), 0) AS BIGINT), CAST(COALESCE(SUM(ten_ms), 0) AS BIGINT), CAST(COALESCE(SUM(thirty_ms), 0) AS BIGINT), \
             CAST(COALESCE(SUM(hundred_ms), 0) AS BIGINT), CAST(COALESCE(SUM(three_hundred_ms), 0) AS BIGINT), CAST(COALESCE(SUM(one_second), 0) AS BIGINT), \
             CAST(COALESCE(SUM(three_seconds), 0) AS BIGINT), CAST(COALESCE(SUM(ten_seconds), 0) AS BIGINT), CAST(COALESCE(SUM(longer), 0) AS BIGINT), \
             COUNT(DISTINCT NULLIF(user_id, $1)) FROM usage_hours WHERE hour >= $2 AND hour < $3 GROUP BY ", $by, " ORDER BY ", $order
        )
    };
    ($by:literal) => { sums!($by, $by, "2 DESC, 1") };
}

statement_list! {
    ADVANCE = "UPDATE meta SET value = $1 WHERE key = $2 AND value = $3";
    ADD = "INSERT INTO usage_hours (hour, server, client_id, user_id, called, calls, failed, refused, bytes, ten_ms, \
        thirty_ms, hundred_ms, three_hundred_ms, one_second, three_seconds, ten_seconds, longer) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
        ON CONFLICT (hour, server, client_id, user_id, called) DO UPDATE SET calls = usage_hours.calls + excluded.calls, \
        failed = usage_hours.failed + excluded.failed, refused = usage_hours.refused + excluded.refused, \
        bytes = usage_hours.bytes + excluded.bytes, ten_ms = usage_hours.ten_ms + excluded.ten_ms, \
        thirty_ms = usage_hours.thirty_ms + excluded.thirty_ms, hundred_ms = usage_hours.hundred_ms + excluded.hundred_ms, \
        three_hundred_ms = usage_hours.three_hundred_ms + excluded.three_hundred_ms, one_second = usage_hours.one_second + excluded.one_second, \
        three_seconds = usage_hours.three_seconds + excluded.three_seconds, ten_seconds = usage_hours.ten_seconds + excluded.ten_seconds, \
        longer = usage_hours.longer + excluded.longer";
    REMOVE = "DELETE FROM usage_hours WHERE hour < $1";
    BY_CLIENT = sums!("client_id");
    BY_HOUR = sums!("hour", "hour", "1");
    BY_PERSON = sums!("user_id");
    BY_SERVER = sums!("server");
    BY_TOOL = sums!("server, called", "server, called", "3 DESC, 1, 2");
}

/// What is counted together.
type Key = (i64, String, String, [u8; 16], String);

impl UsageRecord for Engine {
    fn roll_up_usage(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let from = match self.meta(CURSOR).await? {
                Some(from) => from,
                None => {
                    self.put_meta(CURSOR, "0").await?;
                    "0".to_owned()
                }
            };
            let after = from.parse().map_err(StoreError::unavailable)?;
            let (mut sums, mut rows, mut counted) = (BTreeMap::new(), 0, 0);
            let mut up_to = None;
            for seal in self.list_seals(after, SEALS).await? {
                let seal = seal.seal.sealing.id;
                for row in audit::under_seal(self, seal).await? {
                    count(&mut sums, &row);
                    rows += 1;
                }
                (up_to, counted) = (Some(seal), counted + 1);
                if rows >= ROWS {
                    break;
                }
            }
            let Some(up_to) = up_to else { return Ok(0) };
            let advance = params![up_to.to_string(), CURSOR, from];
            let mut steps = vec![Step::one(ADVANCE, advance)];
            steps.extend(sums.iter().map(|(key, usage)| add(key, usage)));
            // Another node was first: it has counted this one.
            self.write(Write::new(steps).long()).await.map(|_: Written| counted)
        })
    }

    fn remove_usage(&self, before: Timestamp) -> Answer<'_, u64> {
        Box::pin(async move {
            let steps = vec![Step::any(REMOVE, params![hour(before)])];
            match self.write(Write::new(steps).long()).await? {
                Written::Done(touched) => Ok(touched.first().map_or(0, |step| step.count)),
                Written::Missed(_) => Ok(0),
            }
        })
    }

    fn usage(&self, by: UsageBy, since: Timestamp, until: Timestamp) -> Answer<'_, Vec<(UsageOf, Usage)>> {
        Box::pin(async move {
            let sql = match by {
                UsageBy::Client => BY_CLIENT,
                UsageBy::Hour => BY_HOUR,
                UsageBy::Person => BY_PERSON,
                UsageBy::Server => BY_SERVER,
                UsageBy::Tool => BY_TOOL,
            };
            let rows = self.many(sql, params![NOBODY, hour(since), until]).await?;
            rows.into_iter().map(|row| decode(by, row)).collect()
        })
    }
}

fn hour(at: Timestamp) -> i64 {
    at.micros() - at.micros().rem_euclid(HOUR)
}

/// Adds a call; what is none is not counted.
fn count(sums: &mut BTreeMap<Key, Usage>, row: &AuditRow) {
    let is_refused = row.kind == AuditKind::CallRefused.as_str();
    if !is_refused && row.kind != AuditKind::Call.as_str() {
        return;
    }
    let detail = |name: &str| row.detail.get(name);
    // What a client calls that is refused may be anything: it makes no line of its own. And the name is that of a tool or a
    // prompt alone: of a resource or a task it would be another one each time, and outlive the calls.
    let method = detail("method");
    let has_a_name = method.is_some_and(|method| matches!(method.as_str(), "tools/call" | "prompts/get"));
    let called = if is_refused { None } else { detail("name").filter(|_| has_a_name).or(method) };
    let key = (
        hour(row.at),
        row.server.clone().unwrap_or_default(),
        row.client_id.as_deref().map(|id| short(id, LONGEST_CLIENT)).unwrap_or_default(),
        row.user.map_or(NOBODY, |user| *user.as_bytes()),
        called.map(|called| short(called, LONGEST_CALLED)).unwrap_or_default(),
    );
    let number = |name: &str| detail(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let usage = sums.entry(key).or_default();
    usage.calls += 1;
    usage.failed += u64::from(matches!(row.outcome, Outcome::Failed | Outcome::Unknown));
    usage.refused += u64::from(is_refused);
    usage.bytes += number("bytes");
    let took = number("duration_ms");
    let bucket = LATENCIES_MS.iter().position(|most| took <= *most).unwrap_or(LATENCIES_MS.len());
    if let Some(bucket) = usage.latencies.get_mut(bucket) {
        *bucket += 1;
    }
}

/// The text, or so much of it as the key of a table holds, in bytes, with a hash by which it is still one of its kind.
fn short(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let hash = Hash::of(text.as_bytes());
    let hash: String = hash.as_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}~{hash}", &text[..text.floor_char_boundary(longest - hash.len() - 1)])
}

fn add((hour, server, client_id, user, called): &Key, usage: &Usage) -> Step {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let mut row = params![
        *hour,
        server.as_str(),
        client_id.as_str(),
        *user,
        called.as_str(),
        number(usage.calls),
        number(usage.failed),
        number(usage.refused),
        number(usage.bytes),
    ];
    row.extend(usage.latencies.iter().map(|count| crate::engine::Value::from(number(*count))));
    Step::one(ADD, row)
}

fn decode(by: UsageBy, row: Row) -> Result<(UsageOf, Usage), StoreError> {
    let mut row = Decoder::new("usage_hours", row);
    let of = match by {
        UsageBy::Client => UsageOf::Client(row.text("client_id")?),
        UsageBy::Hour => UsageOf::Hour(row.time("hour")?),
        UsageBy::Person => {
            UsageOf::Person(Some(row.id("user_id")?).filter(|user: &Id<User>| *user.as_bytes() != NOBODY))
        }
        UsageBy::Server => UsageOf::Server(row.text("server")?),
        UsageBy::Tool => UsageOf::Tool(row.text("server")?, row.text("called")?),
    };
    let mut usage = Usage {
        calls: row.count("calls")?,
        failed: row.count("failed")?,
        refused: row.count("refused")?,
        bytes: row.count("bytes")?,
        ..Usage::default()
    };
    for bucket in &mut usage.latencies {
        *bucket = row.count("latencies")?;
    }
    usage.people = row.count("people")?;
    Ok((of, usage))
}

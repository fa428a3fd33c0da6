//! Lists for people: paged, read-only. No query selects a hash, a seed or anything sealed.

use std::collections::BTreeMap;

use protocol::id::{AuditEvent, Grant, Id, Reference, User};
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, params};
use crate::statements::statement_list;
use crate::{Answer, AuditKind, Outcome, StoreError};

/// Which audit events are wanted; what is `None` is not asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this kind.
    pub kind: Option<AuditKind>,
    /// Of this person.
    pub user: Option<Id<User>>,
    /// With this client.
    pub client_id: Option<String>,
    /// At this MCP server.
    pub server: Option<String>,
    /// Of this sign-in.
    pub reference: Option<Reference>,
    /// At or after this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
}

/// One audit event as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its id.
    pub id: Id<AuditEvent>,
    /// When.
    pub at: Timestamp,
    /// What; [`AuditKind::as_str`], or a name that a newer release wrote.
    pub kind: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<String>,
    /// The sign-in it belongs to.
    pub reference: Option<Reference>,
    /// Who.
    pub user: Option<Id<User>>,
    /// With which client.
    pub client_id: Option<String>,
    /// At which MCP server.
    pub server: Option<String>,
    /// Under which grant.
    pub grant: Option<Id<Grant>>,
    /// Name of the person, unless blotted out.
    pub name: Option<String>,
    /// Address, unless blotted out.
    pub address: Option<String>,
    /// What else is worth knowing.
    pub detail: BTreeMap<String, String>,
    /// Whether a seal covers it.
    pub sealed: bool,
}

/// Rows per table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Audit events.
    pub audit_events: u64,
    /// Seals over audit events.
    pub audit_seals: u64,
    /// Personal data of audit events.
    pub audit_subjects: u64,
    /// Authorizations, in whatever state.
    pub authorizations: u64,
    /// Browser sessions.
    pub browser_sessions: u64,
    /// Clients, tombstones included.
    pub clients: u64,
    /// Grants, ended ones included.
    pub grants: u64,
    /// Keys.
    pub keys: u64,
    /// Facts about the record.
    pub meta: u64,
    /// Revocations.
    pub revocations: u64,
    /// People.
    pub users: u64,
}

/// What people may read.
pub trait Queries: Send + Sync {
    /// Audit events, newest first, at most `limit`; the next page starts after (`at`, `id`) of the last row of
    /// the one before, so that events which arrive meanwhile move nothing.
    fn list_audit(
        &self,
        filter: AuditFilter,
        page: Option<(Timestamp, Id<AuditEvent>)>,
        limit: u32,
    ) -> Answer<'_, Vec<AuditRow>>;

    /// Rows per table. Reads every table whole: for tests and `sekisho check`.
    fn counts(&self) -> Answer<'_, Counts>;
}

/// The audit list, narrowed by the index that serves best.
macro_rules! list_audit {
    ($user:literal, $reference:literal) => {
        concat!(
            "SELECT e.id, e.at, e.kind, e.outcome, e.reason, e.reference, e.user_id, e.client_id, e.server, \
             e.grant_id, s.name, s.address, e.detail, e.seal_id \
             FROM audit_events e LEFT JOIN audit_subjects s ON s.id = e.subject_id \
             WHERE (e.at, e.id) < ($1, $2) AND e.at >= $3 AND e.at < $4 \
             AND (CAST($5 AS TEXT) IS NULL OR e.kind = $5) AND (CAST($6 AS TEXT) IS NULL OR e.client_id = $6) \
             AND (CAST($7 AS TEXT) IS NULL OR e.server = $7) AND ",
            $user,
            " AND ",
            $reference,
            " ORDER BY e.at DESC, e.id DESC LIMIT $10"
        )
    };
}

statement_list! {
    AUDIT = list_audit!("(CAST($8 AS BYTEA) IS NULL OR e.user_id = $8)", "(CAST($9 AS TEXT) IS NULL OR e.reference = $9)");
    AUDIT_OF_USER = list_audit!("e.user_id = $8", "(CAST($9 AS TEXT) IS NULL OR e.reference = $9)");
    AUDIT_OF_SIGN_IN = list_audit!("(CAST($8 AS BYTEA) IS NULL OR e.user_id = $8)", "e.reference = $9");
    COUNTS = "SELECT (SELECT COUNT(*) FROM audit_events), (SELECT COUNT(*) FROM audit_seals), \
        (SELECT COUNT(*) FROM audit_subjects), (SELECT COUNT(*) FROM authorizations), \
        (SELECT COUNT(*) FROM browser_sessions), (SELECT COUNT(*) FROM clients), \
        (SELECT COUNT(*) FROM grants), (SELECT COUNT(*) FROM keys), (SELECT COUNT(*) FROM meta), \
        (SELECT COUNT(*) FROM revocations), (SELECT COUNT(*) FROM users)";
}

impl Queries for Engine {
    fn list_audit(
        &self,
        filter: AuditFilter,
        page: Option<(Timestamp, Id<AuditEvent>)>,
        limit: u32,
    ) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(async move {
            let last = (Timestamp::from_micros(i64::MAX), Id::from_bytes([0xff; 16]));
            let (at, id) = page.unwrap_or(last);
            let sql = match (&filter.reference, filter.user) {
                (Some(_), _) => AUDIT_OF_SIGN_IN,
                (None, Some(_)) => AUDIT_OF_USER,
                (None, None) => AUDIT,
            };
            let narrowed = params![
                at,
                id,
                filter.since.unwrap_or(Timestamp::from_micros(i64::MIN)),
                filter.until.unwrap_or(Timestamp::from_micros(i64::MAX)),
                filter.kind.map(AuditKind::as_str),
                filter.client_id,
                filter.server,
                filter.user,
                filter.reference.as_ref().map(Reference::as_str),
                limit,
            ];
            self.many(sql, narrowed).await?.into_iter().map(decode).collect()
        })
    }

    fn counts(&self) -> Answer<'_, Counts> {
        Box::pin(async move {
            let row = self.many(COUNTS, params![]).await?.into_iter().next().unwrap_or_default();
            let mut row = Decoder::new("counts", row);
            Ok(Counts {
                audit_events: row.count("audit_events")?,
                audit_seals: row.count("audit_seals")?,
                audit_subjects: row.count("audit_subjects")?,
                authorizations: row.count("authorizations")?,
                browser_sessions: row.count("browser_sessions")?,
                clients: row.count("clients")?,
                grants: row.count("grants")?,
                keys: row.count("keys")?,
                meta: row.count("meta")?,
                revocations: row.count("revocations")?,
                users: row.count("users")?,
            })
        })
    }
}

fn decode(row: Row) -> Result<AuditRow, StoreError> {
    let mut row = Decoder::new("audit_events", row);
    Ok(AuditRow {
        id: row.id("id")?,
        at: row.time("at")?,
        kind: row.text("kind")?,
        outcome: row.one_of("outcome", &Outcome::ALL, Outcome::as_str)?,
        reason: row.opt_text("reason")?,
        reference: row.opt_parsed("reference", Reference::parse)?,
        user: row.opt_id("user_id")?,
        client_id: row.opt_text("client_id")?,
        server: row.opt_text("server")?,
        grant: row.opt_id("grant_id")?,
        name: row.opt_text("name")?,
        address: row.opt_text("address")?,
        detail: row.json("detail")?,
        sealed: row.opt_int("seal_id")?.is_some(),
    })
}

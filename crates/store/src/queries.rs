//! Lists for people: paged, read-only. No query selects a hash, a seed or anything sealed.

pub(crate) mod audit;

use std::collections::BTreeMap;

use protocol::id::{AuditEvent, Grant, Id, Reference, User};
use protocol::world::Timestamp;

use self::audit::Order;
use crate::codec::Decoder;
use crate::engine::{Engine, params};
use crate::statements::statement_list;
use crate::{Answer, AuditKind, Outcome, UserRecord, users};

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

/// What stands as the kind of a row that cannot be read: it was altered behind the record's back.
const UNREADABLE: &str = "unreadable";

impl AuditRow {
    /// A row that no release could have written, in its place among the others: that there is one must not be lost, and
    /// must not keep the others from being read.
    fn unreadable(table: &str, id: Id<AuditEvent>, at: Timestamp, sealed: bool) -> Self {
        Self {
            id,
            at,
            kind: UNREADABLE.to_owned(),
            outcome: Outcome::Unknown,
            reason: None,
            reference: None,
            user: None,
            client_id: None,
            server: None,
            grant: None,
            name: None,
            address: None,
            detail: BTreeMap::from([("table".to_owned(), table.to_owned())]),
            sealed,
        }
    }

    /// Whether nothing of it can be told but that it is there.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.kind == UNREADABLE
    }
}

/// Rows per table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Audit events, those in blocks among them.
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
    /// the one before, so that events which arrive meanwhile move nothing. A row that cannot be read is told as one
    /// ([`AuditRow::is_unreadable`]); of a block of calls whatever the filter, because nobody knows what it holds.
    fn list_audit(
        &self,
        filter: AuditFilter,
        page: Option<(Timestamp, Id<AuditEvent>)>,
        limit: u32,
    ) -> Answer<'_, Vec<AuditRow>>;

    /// The people of this id, `connector:subject` or e-mail address (in any case); at most ten. Reads the whole table: for
    /// the command line.
    fn find_people<'a>(&'a self, text: &'a str) -> Answer<'a, Vec<UserRecord>>;

    /// The same, oldest first: for an export that goes through all of them.
    fn export_audit(
        &self,
        filter: AuditFilter,
        page: Option<(Timestamp, Id<AuditEvent>)>,
        limit: u32,
    ) -> Answer<'_, Vec<AuditRow>>;

    /// The events under a seal, in its order: for an export that goes on where it ended.
    fn audit_under_seal(&self, seal: u64) -> Answer<'_, Vec<AuditRow>>;

    /// The MCP servers that somebody may use, has connected an account for or has called, or that told of tools, by name. Reads
    /// whole tables: for the command line.
    fn known_servers(&self) -> Answer<'_, Vec<String>>;

    /// Rows per table, and events of the audit however they are kept. Reads every table whole: for tests and `sekisho check`.
    fn counts(&self) -> Answer<'_, Counts>;
}

statement_list! {
    KNOWN_SERVERS = "SELECT server FROM grants UNION SELECT server FROM connections UNION SELECT server FROM tool_definitions \
        UNION SELECT server FROM usage_hours ORDER BY 1";
    COUNTS = "SELECT (SELECT COUNT(*) FROM audit_events) + (SELECT CAST(COALESCE(SUM(events), 0) AS BIGINT) \
        FROM audit_blocks), (SELECT COUNT(*) FROM audit_seals), \
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
        Box::pin(audit::list(self, filter, page, limit, Order::Newest))
    }

    fn export_audit(
        &self,
        filter: AuditFilter,
        page: Option<(Timestamp, Id<AuditEvent>)>,
        limit: u32,
    ) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(audit::list(self, filter, page, limit, Order::Oldest))
    }

    fn audit_under_seal(&self, seal: u64) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(audit::under_seal(self, seal))
    }

    fn find_people<'a>(&'a self, text: &'a str) -> Answer<'a, Vec<UserRecord>> {
        Box::pin(users::find_people(self, text))
    }

    fn known_servers(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let rows = self.many(KNOWN_SERVERS, params![]).await?;
            rows.into_iter().map(|row| Decoder::new("grants", row).text("server")).collect()
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

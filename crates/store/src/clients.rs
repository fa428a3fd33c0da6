//! Clients that a person once consented to, and the tombstones of those that were blocked.
//!
//! Registering writes nothing here (product.md, P-4): a row says that a client is in use or forbidden, and
//! never that it is known.

use protocol::oauth::{ClientId, ClientIdKind};
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, Revocation, StopCounts, StoreError, audit_events, client_rules, stop};

/// A client that was consented to at least once, or blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRecord {
    /// The id, as it was presented.
    pub client_id: ClientId,
    /// How the client became known.
    pub kind: ClientIdKind,
    /// Its metadata (RFC 7591, section 2) as JSON, as it was when a person last consented.
    pub metadata: String,
    /// Hash of the metadata. Chosen by the client: good to show and to block by, never to allow by (P-5).
    pub fingerprint: Hash,
    /// `client_name`, unverified.
    pub name: Option<String>,
    /// When a person first consented to it.
    pub first_consented_at: Timestamp,
    /// When a person last consented to it.
    pub last_used_at: Timestamp,
    /// When it was blocked. Such a row is a tombstone: it stays, and nobody can consent to it.
    pub blocked_at: Option<Timestamp>,
}

/// A client as it is listed for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedClient {
    /// The client.
    pub client: ClientRecord,
    /// Its live grants.
    pub grants: u64,
}

/// The clients in the record.
pub trait Clients: Send + Sync {
    /// The client with this id, exact to the byte.
    fn find_client<'a>(&'a self, client_id: &'a ClientId) -> Answer<'a, Option<ClientRecord>>;

    /// All clients, at most 100,000, those used last first. Reads the whole table: for the command line.
    fn list_clients(&self, now: Timestamp) -> Answer<'_, Vec<ListedClient>>;

    /// Blocks a client for good: leaves the tombstone (making the row if there is none), takes what it was
    /// allowed back and ends all it has, as
    /// [`Revocations::stop`](crate::Revocations::stop) does. Returns what was ended.
    fn block_client(
        &self,
        client: ClientRecord,
        revocation: Revocation,
        audit: AuditEvent,
    ) -> Answer<'_, StopCounts>;

    /// Takes a block away: the client may be consented to again. Whether it was blocked; if not, nothing is written.
    fn allow_client<'a>(&'a self, client_id: &'a ClientId, audit: AuditEvent) -> Answer<'a, bool>;
}

macro_rules! columns {
    () => {
        "client_id, kind, metadata, fingerprint, name, first_consented_at, last_used_at, blocked_at"
    };
}

statement_list! {
    FIND = concat!("SELECT ", columns!(), " FROM clients WHERE client_id = $1");
    LIST = "SELECT c.client_id, c.kind, c.metadata, c.fingerprint, c.name, c.first_consented_at, c.last_used_at, c.blocked_at, \
        (SELECT COUNT(*) FROM grants g WHERE g.client_id = c.client_id AND g.revoked_at IS NULL \
        AND g.expires_at > $1 AND g.idle_expires_at > $1) FROM clients c ORDER BY c.last_used_at DESC, c.client_id LIMIT 100000";
    // A person's consent: makes the row, or brings it up to date unless it is a tombstone.
    USE = concat!(
        "INSERT INTO clients (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (client_id) DO UPDATE SET metadata = excluded.metadata, \
         fingerprint = excluded.fingerprint, name = excluded.name, last_used_at = excluded.last_used_at \
         WHERE clients.blocked_at IS NULL"
    );
    ALLOW = "UPDATE clients SET blocked_at = NULL WHERE client_id = $1 AND blocked_at IS NOT NULL";
    BLOCK = concat!(
        "INSERT INTO clients (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (client_id) DO UPDATE SET blocked_at = excluded.blocked_at \
         WHERE clients.blocked_at IS NULL"
    );
}

/// Columns of the client in [`LIST`]; the number of its grants follows.
const WIDTH: usize = 8;

impl Clients for Engine {
    fn find_client<'a>(&'a self, client_id: &'a ClientId) -> Answer<'a, Option<ClientRecord>> {
        Box::pin(async move { self.one(FIND, params![client_id.as_str()]).await?.map(decode).transpose() })
    }

    fn list_clients(&self, now: Timestamp) -> Answer<'_, Vec<ListedClient>> {
        Box::pin(async move {
            let listed = |mut row: Row| {
                let mut count = Decoder::new("clients", row.split_off(WIDTH.min(row.len())));
                Ok(ListedClient { client: decode(row)?, grants: count.count("grants")? })
            };
            self.many(LIST, params![now]).await?.into_iter().map(listed).collect()
        })
    }

    fn block_client(
        &self,
        client: ClientRecord,
        revocation: Revocation,
        audit: AuditEvent,
    ) -> Answer<'_, StopCounts> {
        Box::pin(async move {
            let tombstone = row(&client, Some(audit.at));
            let first = vec![Step::at_most_one(BLOCK, tombstone), client_rules::disallow(&client.client_id)];
            stop::stop(self, first, revocation, audit).await
        })
    }

    fn allow_client<'a>(&'a self, client_id: &'a ClientId, audit: AuditEvent) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut steps = vec![Step::one(ALLOW, params![client_id.as_str()])];
            audit_events::push(&mut steps, &audit)?;
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }
}

/// The step by which a consented client comes into the record; it misses if the client is blocked.
pub(crate) fn used(client: &ClientRecord) -> Step {
    Step::one(USE, row(client, None))
}

fn row(client: &ClientRecord, blocked_at: Option<Timestamp>) -> Row {
    params![
        client.client_id.as_str(),
        client.kind.as_str(),
        client.metadata.as_str(),
        client.fingerprint,
        client.name.as_deref(),
        client.first_consented_at,
        client.last_used_at,
        blocked_at,
    ]
}

fn decode(row: Row) -> Result<ClientRecord, StoreError> {
    const KINDS: [ClientIdKind; 3] =
        [ClientIdKind::Dynamic, ClientIdKind::MetadataDocument, ClientIdKind::PreRegistered];
    let mut row = Decoder::new("clients", row);
    Ok(ClientRecord {
        client_id: row.parsed("client_id", ClientId::parse)?,
        kind: row.one_of("kind", &KINDS, ClientIdKind::as_str)?,
        metadata: row.text("metadata")?,
        fingerprint: row.hash("fingerprint")?,
        name: row.opt_text("name")?,
        first_consented_at: row.time("first_consented_at")?,
        last_used_at: row.time("last_used_at")?,
        blocked_at: row.opt_time("blocked_at")?,
    })
}

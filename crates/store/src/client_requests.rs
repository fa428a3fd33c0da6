//! People who wait until an administrator says whether a client may be used (product.md, P-7). Each is a sign-in under way,
//! in the browser that began it; here stands only what an administrator must see to decide.

use protocol::id::{Authorization, Id, Reference, User};
use protocol::oauth::ClientId;
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, StoreError, audit_events};

/// Somebody who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRequest {
    /// The sign-in.
    pub authorization: Id<Authorization>,
    /// Its reference, which the person reads out.
    pub reference: Reference,
    /// The client.
    pub client_id: ClientId,
    /// Hash of its metadata.
    pub fingerprint: Hash,
    /// `client_name`, unverified.
    pub name: Option<String>,
    /// Its metadata as JSON.
    pub metadata: String,
    /// Where it is to be called back.
    pub destination: String,
    /// The MCP server that it is for.
    pub server: String,
    /// Who waits.
    pub user: Id<User>,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The same with the person's names, for the administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRequest {
    /// The request.
    pub request: ClientRequest,
    /// The person's name.
    pub person_name: Option<String>,
    /// Their verified address.
    pub person_email: Option<String>,
}

/// Whether somebody waits now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkOutcome {
    /// The sign-in was decided, or is over, or is at the identity provider. Nothing was written.
    Lost,
    /// They wait, from now on or since before.
    Parked,
    /// This person waits for too many already. Nothing was written.
    TooMany,
}

/// The waiting requests in the record.
pub trait ClientRequests: Send + Sync {
    /// Parks a sign-in: it lives until the request's end and waits for the administrator. At most `most` of one person.
    fn park(&self, request: ClientRequest, most: u32, audit: AuditEvent) -> Answer<'_, ParkOutcome>;

    /// Those whose sign-in still waits, oldest first.
    fn list_client_requests(&self, now: Timestamp) -> Answer<'_, Vec<WaitingRequest>>;
}

macro_rules! columns {
    ($of:literal) => {
        concat!(
            $of,
            "authorization_id, ",
            $of,
            "reference, ",
            $of,
            "client_id, ",
            $of,
            "fingerprint, ",
            $of,
            "name, ",
            $of,
            "metadata, ",
            $of,
            "destination, ",
            $of,
            "server, ",
            $of,
            "user_id, ",
            $of,
            "created_at, ",
            $of,
            "expires_at"
        )
    };
}

statement_list! {
    // Whoever waits is somebody who signed in: they do not count among what strangers may leave open.
    EXTEND = "UPDATE authorizations SET expires_at = CASE WHEN expires_at > $1 THEN expires_at ELSE $1 END \
        WHERE id = $2 AND state = 'pending' AND expires_at > $3";
    FIND_OWN = "SELECT user_id FROM client_requests WHERE authorization_id = $1";
    PUT = concat!(
        "INSERT INTO client_requests (", columns!(""), ") SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 \
         WHERE (SELECT COUNT(*) FROM client_requests r JOIN authorizations a ON a.id = r.authorization_id \
         WHERE r.user_id = $9 AND r.expires_at > $10 AND a.state = 'pending') < $12 \
         ON CONFLICT (authorization_id) DO UPDATE SET user_id = excluded.user_id"
    );
    LIST = concat!(
        "SELECT ", columns!("r."), ", u.name, u.email FROM client_requests r \
         JOIN authorizations a ON a.id = r.authorization_id JOIN users u ON u.id = r.user_id \
         WHERE a.state = 'pending' AND a.expires_at > $1 AND r.expires_at > $1 ORDER BY r.created_at, r.authorization_id LIMIT 10000"
    );
}

/// Columns of the request in [`LIST`]; the person's follow.
const WIDTH: usize = 11;

impl ClientRequests for Engine {
    fn park(&self, request: ClientRequest, most: u32, audit: AuditEvent) -> Answer<'_, ParkOutcome> {
        Box::pin(async move {
            // Whoever reloads the page waits already: nothing is written, and nobody is told again.
            let waits = self.one(FIND_OWN, params![request.authorization]).await?;
            let waits =
                waits.map(|row| Decoder::new("client_requests", row).id::<User>("user_id")).transpose()?;
            if waits == Some(request.user) {
                return Ok(ParkOutcome::Parked);
            }
            let extended = params![request.expires_at, request.authorization, audit.at];
            let mut steps = vec![Step::one(EXTEND, extended), Step::one(PUT, encode(&request, most))];
            audit_events::push(&mut steps, &audit)?;
            Ok(match self.write(Write::new(steps)).await? {
                Written::Done(_) => ParkOutcome::Parked,
                Written::Missed(1) => ParkOutcome::TooMany,
                Written::Missed(_) => ParkOutcome::Lost,
            })
        })
    }

    fn list_client_requests(&self, now: Timestamp) -> Answer<'_, Vec<WaitingRequest>> {
        Box::pin(async move { self.many(LIST, params![now]).await?.into_iter().map(decode).collect() })
    }
}

fn encode(request: &ClientRequest, most: u32) -> Row {
    params![
        request.authorization,
        request.reference.as_str(),
        request.client_id.as_str(),
        request.fingerprint,
        request.name.as_deref(),
        request.metadata.as_str(),
        request.destination.as_str(),
        request.server.as_str(),
        request.user,
        request.created_at,
        request.expires_at,
        most,
    ]
}

fn decode(mut row: Row) -> Result<WaitingRequest, StoreError> {
    let mut person = Decoder::new("users", row.split_off(WIDTH.min(row.len())));
    let mut row = Decoder::new("client_requests", row);
    Ok(WaitingRequest {
        request: ClientRequest {
            authorization: row.id("authorization_id")?,
            reference: row.parsed("reference", Reference::parse)?,
            client_id: row.parsed("client_id", ClientId::parse)?,
            fingerprint: row.hash("fingerprint")?,
            name: row.opt_text("name")?,
            metadata: row.text("metadata")?,
            destination: row.text("destination")?,
            server: row.text("server")?,
            user: row.id("user_id")?,
            created_at: row.time("created_at")?,
            expires_at: row.time("expires_at")?,
        },
        person_name: person.opt_text("name")?,
        person_email: person.opt_text("email")?,
    })
}

//! What an administrator decided about clients beside the configuration (product.md, P-5 and P-7).
//!
//! A fingerprint is chosen by the client, so there is no rule that allows by one. A client that is blocked by its id is a
//! tombstone among the [`Clients`](crate::Clients).

use protocol::oauth::ClientId;
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Value, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, StoreError, audit_events};

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientRule {
    /// This client, called back there and nowhere else, may ask people.
    AllowClient {
        /// Its id, exact to the byte.
        client_id: ClientId,
        /// Where it is called back.
        destination: String,
    },
    /// Clients that are called back at this host, or that it vouches for, may ask people.
    AllowHost(String),
    /// Clients of these metadata may not be used.
    BlockFingerprint(Hash),
    /// Clients that may be called back at this host, or that it vouches for, may not be used.
    BlockHost(String),
}

/// How the kinds are written down.
const ALLOW_CLIENT: &str = "allow_client";
const ALLOW_HOST: &str = "allow_host";
const BLOCK_FINGERPRINT: &str = "block_fingerprint";
const BLOCK_HOST: &str = "block_host";

impl ClientRule {
    /// Kind, subject and destination.
    fn key(&self) -> Vec<Value> {
        match self {
            Self::AllowClient { client_id, destination } => {
                params![ALLOW_CLIENT, client_id.as_str(), destination.as_str()]
            }
            Self::AllowHost(host) => params![ALLOW_HOST, host.as_str(), ""],
            Self::BlockFingerprint(hash) => params![BLOCK_FINGERPRINT, hex(hash), ""],
            Self::BlockHost(host) => params![BLOCK_HOST, host.as_str(), ""],
        }
    }
}

/// The decisions in the record.
pub trait ClientRules: Send + Sync {
    /// The rules that may concern this client: its own, and all about hosts and fingerprints.
    fn find_client_rules<'a>(&'a self, client_id: &'a ClientId) -> Answer<'a, Vec<ClientRule>>;

    /// All of them with the time of each, oldest first: for people.
    fn list_client_rules(&self) -> Answer<'_, Vec<(ClientRule, Timestamp)>>;

    /// Writes a rule down. A host that is blocked is not allowed any more. Whether it is new; if not, nothing is written.
    fn put_client_rule(&self, rule: ClientRule, audit: AuditEvent) -> Answer<'_, bool>;

    /// Takes a rule away. Whether it was there; if not, nothing is written.
    fn remove_client_rule(&self, rule: ClientRule, audit: AuditEvent) -> Answer<'_, bool>;
}

statement_list! {
    FIND = "SELECT kind, subject, destination, created_at FROM client_rules \
        WHERE kind IN ('allow_host', 'block_fingerprint', 'block_host') OR (kind = 'allow_client' AND subject = $1)";
    LIST = "SELECT kind, subject, destination, created_at FROM client_rules ORDER BY created_at, kind, subject, destination";
    PUT = "INSERT INTO client_rules (kind, subject, destination, created_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (kind, subject, destination) DO NOTHING";
    REMOVE = "DELETE FROM client_rules WHERE kind = $1 AND subject = $2 AND destination = $3";
    DISALLOW_CLIENT = "DELETE FROM client_rules WHERE kind = 'allow_client' AND subject = $1";
    DISALLOW_ALL = "DELETE FROM client_rules WHERE kind IN ('allow_client', 'allow_host')";
}

impl ClientRules for Engine {
    fn find_client_rules<'a>(&'a self, client_id: &'a ClientId) -> Answer<'a, Vec<ClientRule>> {
        Box::pin(async move {
            let rows = self.few(FIND, params![client_id.as_str()]).await?;
            rows.into_iter().map(|row| Ok(decode(row)?.0)).collect()
        })
    }

    fn list_client_rules(&self) -> Answer<'_, Vec<(ClientRule, Timestamp)>> {
        Box::pin(async move { self.many(LIST, params![]).await?.into_iter().map(decode).collect() })
    }

    fn put_client_rule(&self, rule: ClientRule, audit: AuditEvent) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut row = rule.key();
            row.extend(params![audit.at]);
            let mut steps = vec![Step::one(PUT, row)];
            if let ClientRule::BlockHost(host) = rule {
                steps.push(Step::any(REMOVE, ClientRule::AllowHost(host).key()));
            }
            audit_events::push(&mut steps, &audit)?;
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }

    fn remove_client_rule(&self, rule: ClientRule, audit: AuditEvent) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps = vec![Step::one(REMOVE, rule.key())];
            audit_events::push(&mut steps, &audit)?;
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }
}

/// The step by which a client that is blocked loses what it was allowed.
pub(crate) fn disallow(client_id: &ClientId) -> Step {
    Step::any(DISALLOW_CLIENT, params![client_id.as_str()])
}

fn hex(hash: &Hash) -> String {
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Hash, StoreError> {
    let wrong = || StoreError::unavailable("a fingerprint in client_rules is not one");
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(2 * place..2 * place + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(Hash::from_bytes(bytes))
}

fn decode(row: Row) -> Result<(ClientRule, Timestamp), StoreError> {
    const KINDS: [&str; 4] = [ALLOW_CLIENT, ALLOW_HOST, BLOCK_FINGERPRINT, BLOCK_HOST];
    let mut row = Decoder::new("client_rules", row);
    let kind = row.one_of("kind", &KINDS, |kind| kind)?;
    let subject = row.text("subject")?;
    let destination = row.text("destination")?;
    let rule = match kind {
        ALLOW_CLIENT => {
            let client_id = ClientId::parse(&subject).map_err(StoreError::unavailable)?;
            ClientRule::AllowClient { client_id, destination }
        }
        ALLOW_HOST => ClientRule::AllowHost(subject),
        BLOCK_HOST => ClientRule::BlockHost(subject),
        _ => ClientRule::BlockFingerprint(from_hex(&subject)?),
    };
    Ok((rule, row.time("created_at")?))
}

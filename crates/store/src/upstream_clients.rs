//! Who we are at the authorization servers of MCP servers where we registered ourselves (RFC 7591): one client for each, of all
//! nodes, sealed. Where our address is another one now, who we were under the former one is kept: what was given to that
//! client goes on as that client.

use protocol::id::{Id, UpstreamClient};
use protocol::secret::Sealed;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Value, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, StoreError};

/// A registration of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamClientRecord {
    /// Its id; what is sealed is sealed for the row with it.
    pub id: Id<UpstreamClient>,
    /// For which MCP server, by our name.
    pub server: String,
    /// At which issuer.
    pub issuer: String,
    /// What we are called there.
    pub client_id: String,
    /// All of it.
    pub sealed: Sealed,
    /// When it was made.
    pub created_at: Timestamp,
}

impl UpstreamClientRecord {
    /// The table of the present ones.
    pub const CURRENT: &'static str = "upstream_clients";
    /// The table of those before.
    pub const FORMER: &'static str = "former_upstream_clients";

    /// For what it is sealed in one of the two tables (attacks.md, ST-02): what we are at one issuer we are nowhere else.
    #[must_use]
    pub fn context<'a>(&'a self, table: &'a str) -> [&'a [u8]; 6] {
        let owner: [&[u8]; 3] = [self.server.as_bytes(), self.issuer.as_bytes(), self.client_id.as_bytes()];
        let [server, issuer, client] = owner;
        [table.as_bytes(), b"sealed", self.id.as_bytes(), server, issuer, client]
    }
}

/// The registration in the place of which another one is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// What we are called in it.
    pub client_id: String,
    /// It, sealed anew for its row among the former ones, if it is still of use.
    pub kept: Option<UpstreamClientRecord>,
}

/// Our registrations in the record.
pub trait UpstreamClients: Send + Sync {
    /// The one for an MCP server at an issuer.
    fn find_upstream_client<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
    ) -> Answer<'a, Option<UpstreamClientRecord>>;

    /// Those that were the one before.
    fn list_former_upstream_clients<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
    ) -> Answer<'a, Vec<UpstreamClientRecord>>;

    /// Keeps one in the place of another, or where there is none. Whether that was still so.
    fn put_upstream_client(
        &self,
        new: UpstreamClientRecord,
        instead_of: Option<Replaced>,
    ) -> Answer<'_, bool>;

    /// Forgets the one with this client id, be it a former one. Whether there was one.
    fn forget_upstream_client<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
        client_id: &'a str,
    ) -> Answer<'a, bool>;
}

statement_list! {
    FIND = "SELECT id, server, issuer, client_id, sealed, created_at FROM upstream_clients \
        WHERE server = $1 AND issuer = $2";
    LIST_FORMER = "SELECT id, server, issuer, client_id, sealed, created_at FROM former_upstream_clients \
        WHERE server = $1 AND issuer = $2 ORDER BY id";
    PUT_FORMER = "INSERT INTO former_upstream_clients (id, server, issuer, client_id, sealed, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (server, issuer, client_id) DO NOTHING";
    PUT = "INSERT INTO upstream_clients (id, server, issuer, client_id, sealed, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (server, issuer) DO NOTHING";
    REPLACE = "UPDATE upstream_clients SET id = $1, client_id = $2, sealed = $3, created_at = $4 \
        WHERE server = $5 AND issuer = $6 AND client_id = $7";
    FORGET_FORMER = "DELETE FROM former_upstream_clients WHERE server = $1 AND issuer = $2 AND client_id = $3";
    FORGET = "DELETE FROM upstream_clients WHERE server = $1 AND issuer = $2 AND client_id = $3";
}

impl UpstreamClients for Engine {
    fn find_upstream_client<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
    ) -> Answer<'a, Option<UpstreamClientRecord>> {
        Box::pin(async move { self.one(FIND, params![server, issuer]).await?.map(decode).transpose() })
    }

    fn list_former_upstream_clients<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
    ) -> Answer<'a, Vec<UpstreamClientRecord>> {
        Box::pin(async move {
            self.many(LIST_FORMER, params![server, issuer]).await?.into_iter().map(decode).collect()
        })
    }

    fn put_upstream_client(
        &self,
        new: UpstreamClientRecord,
        instead_of: Option<Replaced>,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            let steps = match instead_of {
                None => vec![Step::one(PUT, row(&new))],
                Some(Replaced { client_id: old, kept }) => {
                    let (server, issuer) = (new.server.as_str(), new.issuer.as_str());
                    let (client, at) = (new.client_id.as_str(), new.created_at);
                    let params = params![new.id, client, &new.sealed, at, server, issuer, old.as_str()];
                    let kept = kept.map(|kept| Step::at_most_one(PUT_FORMER, row(&kept)));
                    kept.into_iter().chain([Step::one(REPLACE, params)]).collect()
                }
            };
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }

    fn forget_upstream_client<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
        client_id: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            let of = || params![server, issuer, client_id];
            let steps = vec![Step::at_most_one(FORGET_FORMER, of()), Step::at_most_one(FORGET, of())];
            Ok(match self.write(Write::new(steps)).await? {
                Written::Done(touched) => touched.iter().any(|step| step.count > 0),
                Written::Missed(_) => false,
            })
        })
    }
}

fn row(record: &UpstreamClientRecord) -> Vec<Value> {
    let (server, issuer) = (record.server.as_str(), record.issuer.as_str());
    params![record.id, server, issuer, record.client_id.as_str(), &record.sealed, record.created_at]
}

fn decode(row: Row) -> Result<UpstreamClientRecord, StoreError> {
    let mut row = Decoder::new("upstream_clients", row);
    Ok(UpstreamClientRecord {
        id: row.id("id")?,
        server: row.text("server")?,
        issuer: row.text("issuer")?,
        client_id: row.text("client_id")?,
        sealed: row.bytes("sealed").map(Sealed::from_bytes)?,
        created_at: row.time("created_at")?,
    })
}

//! Who we are at the authorization servers of MCP servers where we registered ourselves (RFC 7591): one client for each, of all
//! nodes, sealed.

use protocol::id::{Id, UpstreamClient};
use protocol::secret::Sealed;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
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

/// Our registrations in the record.
pub trait UpstreamClients: Send + Sync {
    /// The one for an MCP server at an issuer.
    fn find_upstream_client<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
    ) -> Answer<'a, Option<UpstreamClientRecord>>;

    /// Keeps one in the place of that with this client id, or where there is none. Whether that was still so.
    fn put_upstream_client(&self, new: UpstreamClientRecord, instead_of: Option<String>) -> Answer<'_, bool>;

    /// Forgets one, if it still has this client id. Whether it had.
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
    PUT = "INSERT INTO upstream_clients (id, server, issuer, client_id, sealed, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (server, issuer) DO NOTHING";
    REPLACE = "UPDATE upstream_clients SET id = $1, client_id = $2, sealed = $3, created_at = $4 \
        WHERE server = $5 AND issuer = $6 AND client_id = $7";
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

    fn put_upstream_client(&self, new: UpstreamClientRecord, instead_of: Option<String>) -> Answer<'_, bool> {
        Box::pin(async move {
            let (server, issuer, client) = (new.server.as_str(), new.issuer.as_str(), new.client_id.as_str());
            let step = match instead_of.as_deref() {
                None => Step::one(PUT, params![new.id, server, issuer, client, &new.sealed, new.created_at]),
                Some(old) => Step::one(
                    REPLACE,
                    params![new.id, client, &new.sealed, new.created_at, server, issuer, old],
                ),
            };
            Ok(matches!(self.write(Write::new(vec![step])).await?, Written::Done(_)))
        })
    }

    fn forget_upstream_client<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
        client_id: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            let forget = Step::one(FORGET, params![server, issuer, client_id]);
            Ok(matches!(self.write(Write::new(vec![forget])).await?, Written::Done(_)))
        })
    }
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

//! Device authorizations: what a machine without a browser asked for, until a person decided elsewhere (RFC 8628).
//!
//! The person's decision is an authorization like any other ([`Authorizations`](crate::Authorizations)), and so is its
//! redemption, at most once. Here stands only which one it is. Codes are kept as hashes: the user code, which is short, as
//! one that needs a key.

use protocol::id::{Authorization, Id};
use protocol::oauth::{ClientId, ResourceUri, Scope};
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, PendingCaps, StoreError};

/// A device authorization as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAuthorizationRecord {
    /// Hash of the device code.
    pub device_code: Hash,
    /// Keyed hash of the user code.
    pub user_code: Hash,
    /// The client that asks.
    pub client_id: ClientId,
    /// The address that asked.
    pub address: String,
    /// The network of that address; what the cap counts by.
    pub network: String,
    /// The one resource it is for.
    pub resource: ResourceUri,
    /// Our name of the MCP server behind that resource.
    pub server: String,
    /// What is asked for.
    pub scope: Scope,
    /// When it was asked.
    pub created_at: Timestamp,
    /// Until when a person may decide.
    pub expires_at: Timestamp,
    /// When the device last came for it.
    pub polled_at: Option<Timestamp>,
    /// Where a person decides, or decided.
    pub authorization: Option<Id<Authorization>>,
}

/// Whether a device authorization was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutDeviceOutcome {
    /// It was.
    Stored,
    /// Too many wait already, of this network or in all.
    TooMany,
    /// Another one has this user code; take another.
    UserCodeTaken,
}

/// The device authorizations in the record.
pub trait DeviceAuthorizations: Send + Sync {
    /// Stores a new one unless too many wait; both caps are part of the statement.
    fn put_device(&self, new: DeviceAuthorizationRecord, caps: PendingCaps) -> Answer<'_, PutDeviceOutcome>;

    /// The one with this device code, over or not; the caller judges.
    fn find_device(&self, device_code: Hash) -> Answer<'_, Option<DeviceAuthorizationRecord>>;

    /// The one with this user code, over or not; the caller judges.
    fn find_device_by_user_code(&self, user_code: Hash) -> Answer<'_, Option<DeviceAuthorizationRecord>>;

    /// Says where a person decides: at most once, and in time. Whether it was this.
    fn claim_device(
        &self,
        device_code: Hash,
        authorization: Id<Authorization>,
        now: Timestamp,
    ) -> Answer<'_, bool>;

    /// Marks that the device came, if it did not come since `before`. Of several at once one does.
    fn poll_device(&self, device_code: Hash, before: Option<Timestamp>, now: Timestamp) -> Answer<'_, bool>;
}

macro_rules! columns {
    () => {
        "device_code, user_code, client_id, address, network, resource, server, scope, created_at, expires_at, \
         polled_at, authorization_id"
    };
}

statement_list! {
    PUT = "INSERT INTO device_authorizations \
        (device_code, user_code, client_id, address, network, resource, server, scope, created_at, expires_at) \
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 \
        WHERE (SELECT COUNT(*) FROM device_authorizations WHERE network = $5 AND expires_at > $9) < $11 \
        AND (SELECT COUNT(*) FROM device_authorizations WHERE expires_at > $9) < $12 \
        ON CONFLICT (user_code) DO NOTHING";
    FIND = concat!("SELECT ", columns!(), " FROM device_authorizations WHERE device_code = $1");
    FIND_BY_USER_CODE = concat!("SELECT ", columns!(), " FROM device_authorizations WHERE user_code = $1");
    CLAIM = "UPDATE device_authorizations SET authorization_id = $1 \
        WHERE device_code = $2 AND authorization_id IS NULL AND expires_at > $3";
    // Whoever never came came at -1.
    POLL = "UPDATE device_authorizations SET polled_at = $1 \
        WHERE device_code = $2 AND COALESCE(polled_at, -1) = $3";
}

impl DeviceAuthorizations for Engine {
    fn put_device(&self, new: DeviceAuthorizationRecord, caps: PendingCaps) -> Answer<'_, PutDeviceOutcome> {
        Box::pin(async move {
            let row = params![
                new.device_code,
                new.user_code,
                new.client_id.as_str(),
                new.address.as_str(),
                new.network.as_str(),
                new.resource.as_str(),
                new.server.as_str(),
                new.scope.to_string(),
                new.created_at,
                new.expires_at,
                caps.per_address,
                caps.total,
            ];
            if done(self, Step::one(PUT, row)).await? {
                return Ok(PutDeviceOutcome::Stored);
            }
            let taken = self.find_device_by_user_code(new.user_code).await?.is_some();
            Ok(if taken { PutDeviceOutcome::UserCodeTaken } else { PutDeviceOutcome::TooMany })
        })
    }

    fn find_device(&self, device_code: Hash) -> Answer<'_, Option<DeviceAuthorizationRecord>> {
        Box::pin(async move { self.one(FIND, params![device_code]).await?.map(decode).transpose() })
    }

    fn find_device_by_user_code(&self, user_code: Hash) -> Answer<'_, Option<DeviceAuthorizationRecord>> {
        Box::pin(
            async move { self.one(FIND_BY_USER_CODE, params![user_code]).await?.map(decode).transpose() },
        )
    }

    fn claim_device(
        &self,
        device_code: Hash,
        authorization: Id<Authorization>,
        now: Timestamp,
    ) -> Answer<'_, bool> {
        Box::pin(async move { done(self, Step::one(CLAIM, params![authorization, device_code, now])).await })
    }

    fn poll_device(&self, device_code: Hash, before: Option<Timestamp>, now: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move {
            let before = before.unwrap_or(Timestamp::from_micros(-1));
            done(self, Step::one(POLL, params![now, device_code, before])).await
        })
    }
}

async fn done(engine: &Engine, step: Step) -> Result<bool, StoreError> {
    Ok(matches!(engine.write(Write::new(vec![step])).await?, Written::Done(_)))
}

fn decode(row: Row) -> Result<DeviceAuthorizationRecord, StoreError> {
    let mut row = Decoder::new("device_authorizations", row);
    Ok(DeviceAuthorizationRecord {
        device_code: row.hash("device_code")?,
        user_code: row.hash("user_code")?,
        client_id: row.parsed("client_id", ClientId::parse)?,
        address: row.text("address")?,
        network: row.text("network")?,
        resource: row.parsed("resource", ResourceUri::parse)?,
        server: row.text("server")?,
        scope: row.parsed("scope", Scope::parse)?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        polled_at: row.opt_time("polled_at")?,
        authorization: row.opt_id("authorization_id")?,
    })
}

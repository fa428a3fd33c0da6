//! Device authorization (RFC 8628): a machine without a browser asks, a person decides in a browser elsewhere.
//!
//! The person's way is the usual one: typing the user code makes a pending authorization in their browser, with its login
//! page, consent page and all their guards. Its answer leads to a page of ours and not to a client, its PKCE verifier is
//! kept by nobody, and what the device comes for is the authorization itself.
//!
//! It can be phished from far away (section 5.4), and neither redirect URI nor PKCE protects anybody. So it is for the
//! clients that an MCP server allows it to ([`DeviceFlow`]), the pages say from where the device asked and whom to
//! beware of, and guesses at user codes are few, from one address and in all.

mod error;
mod guesses;
mod page;

use protocol::keys::MacKey;
use protocol::oauth::{ClientIdKind, DeviceAuthorizationResponse, Form, GrantType, Scope, UserCode};
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use store::{DeviceAuthorizationRecord, PendingCaps, PutDeviceOutcome, StoreError};

pub use error::{DeviceError, DevicePageError, DevicePageReason};
pub(crate) use guesses::Guesses;
pub use page::DeviceEntered;
pub(crate) use page::asked_from;

use crate::AuthorizationServer;
use crate::clients::Client;
use crate::grants::target::{self, TargetRefusal};
use crate::pages::Caller;
use crate::settings::{DeviceFlow, ServerEntry};

/// How long a device waits between two requests, in seconds (RFC 8628, section 3.5).
pub(crate) const INTERVAL: u64 = 5;
/// What a device code begins with.
const PREFIX: &str = "skd_";
/// What the MAC of a user code is for.
const USER_CODE: &str = "device: user code";
/// How often another user code is tried if one is taken.
const TRIES: usize = 4;

/// What the record knows a user code by: it is short, so its hash alone would be guessed by whoever reads the record.
fn keyed(key: &MacKey, code: &UserCode) -> Hash {
    Hash::from_bytes(key.mac(USER_CODE, &[code.letters().as_bytes()]))
}

/// Whether the client may ask for this MCP server without a browser.
pub(crate) fn is_allowed(client: &Client, server: &ServerEntry) -> bool {
    match (server.device_flow, client.id().kind()) {
        (DeviceFlow::Off, _)
        | (DeviceFlow::Known, ClientIdKind::Dynamic | ClientIdKind::MetadataDocument) => false,
        (DeviceFlow::Any, _) | (DeviceFlow::Known, ClientIdKind::PreRegistered) => true,
    }
}

/// How many may wait: a code must stay one among very many.
fn caps(pending: PendingCaps) -> PendingCaps {
    PendingCaps { per_address: pending.per_address.min(100), total: pending.total.min(10_000) }
}

/// What a device asks for.
#[derive(Debug)]
struct Wish<'a> {
    scope: Scope,
    server: &'a ServerEntry,
}

impl AuthorizationServer {
    /// Answers a device authorization request: the `Authorization` headers, the form, and who calls.
    ///
    /// # Errors
    /// [`DeviceError`] if the client is not authenticated, may not use the flow, or asks for what is not there.
    pub async fn device_authorization(
        &self,
        authorization: &[&str],
        form: &Form,
        caller: &Caller,
    ) -> Result<DeviceAuthorizationResponse, DeviceError> {
        let client = self.authenticate(authorization, form, caller).await?;
        let wish = self.decide_device(client.client(), form)?;
        let now = self.parts.clock.now();
        let device_code = Secret::random(PREFIX, &*self.parts.entropy);
        for _ in 0..TRIES {
            let user_code = UserCode::mint(&*self.parts.entropy);
            let record = self.device(client.client(), &wish, (&device_code, &user_code), (caller, now));
            match self.parts.store.put_device(record, caps(self.settings.pending)).await? {
                PutDeviceOutcome::Stored => {
                    return Ok(DeviceAuthorizationResponse {
                        device_code,
                        user_code,
                        verification_uri: format!("{}/device", self.settings.pages_url),
                        expires_in: self.settings.lifetimes.authorization.as_secs(),
                        interval: INTERVAL,
                    });
                }
                PutDeviceOutcome::TooMany => return Err(DeviceError::TooMany),
                PutDeviceOutcome::UserCodeTaken => {}
            }
        }
        Err(StoreError::unavailable("every user code that was tried is taken").into())
    }

    fn decide_device(&self, client: &Client, form: &Form) -> Result<Wish<'_>, DeviceError> {
        if form.repeats_any_but(&["resource"]) {
            return Err(DeviceError::ParameterRepeated);
        }
        if !client.may_use(GrantType::DeviceCode) {
            return Err(DeviceError::GrantTypeNotRegistered);
        }
        let resource: Vec<String> = form.all("resource").into_iter().map(str::to_owned).collect();
        let server = target::server(&resource, &self.settings)?;
        if !is_allowed(client, server) {
            return Err(DeviceError::NotAllowed);
        }
        let scope = offered(form.get("scope").once(), server)?;
        Ok(Wish { scope, server })
    }

    fn device(
        &self,
        client: &Client,
        wish: &Wish<'_>,
        (device_code, user_code): (&Secret, &UserCode),
        (caller, now): (&Caller, Timestamp),
    ) -> DeviceAuthorizationRecord {
        let keys = self.parts.keys.load();
        DeviceAuthorizationRecord {
            device_code: device_code.hash(),
            user_code: keyed(keys.forms.active(), user_code),
            client_id: client.id().clone(),
            address: caller.address.to_string(),
            network: caller.network().to_string(),
            resource: wish.server.resource.clone(),
            server: wish.server.name.clone(),
            scope: wish.scope.clone(),
            created_at: now,
            expires_at: now.plus(self.settings.lifetimes.authorization),
            polled_at: None,
            authorization: None,
        }
    }
}

/// What can be offered to the person. As at the authorization endpoint more than there is is narrowed, because the consent
/// page shows what is left (attacks.md, D-8).
fn offered(requested: Option<&str>, server: &ServerEntry) -> Result<Scope, TargetRefusal> {
    let Some(text) = requested else { return Ok(server.default_scope()) };
    let asked = Scope::parse(text).map_err(|_| TargetRefusal::ScopeMalformed)?;
    let known = server.known_scope();
    let is_habit = |token: &str| crate::capabilities::IGNORED_SCOPES.contains(&token);
    let meant: Scope = asked.iter().filter(|token| !is_habit(token.as_str())).cloned().collect();
    let offered = if meant.is_empty() { server.default_scope() } else { meant.intersection(&known) };
    if offered.is_empty() { Err(TargetRefusal::ScopeNone) } else { Ok(offered) }
}

#[cfg(test)]
mod tests;

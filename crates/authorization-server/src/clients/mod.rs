//! Clients, by their ids: one file for each way of becoming known (product.md, P-4 and P-6).
//!
//! A client that was blocked is refused here, before anything else is asked of it. Knowing an id proves nothing
//! (OAuth 2.1, section 2.2); see [`crate::AuthenticatedClient`].

mod administration;
mod dynamic;
mod keys;
mod metadata_document;
mod policy;
mod pre_registered;
mod without_browser;

use std::sync::Arc;

use protocol::oauth::{
    ClientId, ClientIdKind, ClientMetadata, Destination, GrantType, PublishedKeys, RedirectPolicy,
    RedirectUri, TokenEndpointAuthMethod, VerifiedRedirectUri, client_assertion,
};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use store::{AuthorizationRecord, ClientRecord, ClientRule, StoreError};
use thiserror::Error;

pub use administration::{BlockCounts, Blocked, ClientAdministration, fingerprint_text};
pub use keys::ClientKeys;
pub use metadata_document::{DocumentRules, UnknownHosts};
pub(crate) use policy::Judged;
pub use policy::{ClientPolicy, HostPattern, Named, NotAHost, Standing, destination_text};
pub use pre_registered::{PreRegisteredClient, PreRegisteredError};
pub use without_browser::ClientStanding;

use crate::grants::PersonRefusal;
use crate::pages::{ClientOnPage, ServerOnPage, Vouching};
use crate::settings::ServerEntry;
use crate::{AuthorizationServer, device};

/// A client and its metadata (RFC 7591, section 2).
#[derive(Debug, Clone)]
pub struct Client {
    id: ClientId,
    metadata: ClientMetadata,
    vouched: Vouching,
}

/// Why an id leads to no client.
#[derive(Debug, Error)]
pub(crate) enum ResolveError {
    /// The client was stopped.
    #[error("the client is blocked")]
    Blocked,
    /// Too many documents are being fetched.
    #[error("too many metadata documents are being fetched")]
    Busy,
    /// Its host is not on the list of those whose documents are read.
    #[error("no metadata documents are read from the host of the client")]
    HostRefused,
    /// There is no metadata document that could be believed.
    #[error("there is no metadata document of the client")]
    NoDocument,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// No such client.
    #[error("the client is not known here")]
    Unknown,
    /// Its metadata document asks for less proof of who it is than before.
    #[error("the metadata document weakens how the client authenticates")]
    Weaker,
}

impl Client {
    /// A client that was just registered.
    pub(crate) const fn registered(id: ClientId, metadata: ClientMetadata) -> Self {
        Self { id, metadata, vouched: Vouching::Nobody }
    }

    pub(crate) fn into_parts(self) -> (ClientId, ClientMetadata) {
        (self.id, self.metadata)
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &ClientId {
        &self.id
    }

    /// Its metadata.
    #[must_use]
    pub const fn metadata(&self) -> &ClientMetadata {
        &self.metadata
    }

    /// Whether it may authenticate in this way: in the one it registered.
    #[must_use]
    pub fn may_authenticate_by(&self, method: TokenEndpointAuthMethod) -> bool {
        match self.id.kind() {
            ClientIdKind::PreRegistered if self.has_secret() => {
                pre_registered::EITHER_SECRET.contains(&method)
            }
            ClientIdKind::Dynamic | ClientIdKind::MetadataDocument | ClientIdKind::PreRegistered => {
                method == self.metadata.token_endpoint_auth_method
            }
        }
    }

    /// Whether it proves who it is, by a secret or by a key (OAuth 2.1, section 2.1).
    #[must_use]
    pub const fn is_confidential(&self) -> bool {
        match self.metadata.token_endpoint_auth_method {
            TokenEndpointAuthMethod::ClientSecretBasic
            | TokenEndpointAuthMethod::ClientSecretPost
            | TokenEndpointAuthMethod::PrivateKeyJwt => true,
            TokenEndpointAuthMethod::None => false,
        }
    }

    /// Whether it proves it by a secret.
    #[must_use]
    pub const fn has_secret(&self) -> bool {
        match self.metadata.token_endpoint_auth_method {
            TokenEndpointAuthMethod::ClientSecretBasic | TokenEndpointAuthMethod::ClientSecretPost => true,
            TokenEndpointAuthMethod::None | TokenEndpointAuthMethod::PrivateKeyJwt => false,
        }
    }

    /// Whether it registered this grant type.
    #[must_use]
    pub fn may_use(&self, grant_type: GrantType) -> bool {
        self.metadata.may_use(grant_type)
    }

    /// The redirect URI of a request, if it is one of the client's. Without one, the only one there is (OAuth 2.1,
    /// section 2.3.2).
    pub(crate) fn verify_redirect_uri(&self, requested: Option<&str>) -> Option<VerifiedRedirectUri> {
        let only = || match self.metadata.redirect_uris.as_slice() {
            [only] => Some(RedirectUri::as_str(only)),
            _ => None,
        };
        self.metadata.verify_redirect_uri(requested.or_else(only)?)
    }

    /// Who stands behind its name.
    pub(crate) const fn vouched(&self) -> &Vouching {
        &self.vouched
    }

    /// Whether an error may go to the client at once, before a person did anything (attacks.md, section 0): to a
    /// client that the operator knows, and to the person's own machine.
    pub(crate) fn may_be_told_at_once(&self, to: &VerifiedRedirectUri) -> bool {
        match (self.vouched(), to.destination()) {
            (Vouching::Operator, _) | (Vouching::Host(_) | Vouching::Nobody, Destination::Loopback(_)) => {
                true
            }
            (Vouching::Host(_) | Vouching::Nobody, Destination::Https(_) | Destination::PrivateScheme(_)) => {
                false
            }
        }
    }

    /// What a sign-in must remember of it, if it could be another one tomorrow.
    pub(crate) fn snapshot(&self) -> Option<String> {
        match &self.vouched {
            Vouching::Host(_) => Some(self.metadata.to_json()),
            Vouching::Nobody | Vouching::Operator => None,
        }
    }

    /// What is written down when a person consents.
    pub(crate) fn record(&self, now: Timestamp) -> ClientRecord {
        ClientRecord {
            client_id: self.id.clone(),
            kind: self.id.kind(),
            metadata: self.metadata.to_json(),
            fingerprint: self.metadata.fingerprint(),
            name: self.metadata.client_name.clone(),
            first_consented_at: now,
            last_used_at: now,
            blocked_at: None,
        }
    }

    pub(crate) fn on_page(&self, redirect_uri: VerifiedRedirectUri) -> ClientOnPage {
        ClientOnPage {
            name: self.metadata.client_name.clone(),
            vouched: self.vouched.clone(),
            asked_from: None,
            destination: redirect_uri.destination().clone(),
            redirect_uri,
        }
    }
}

/// Where a client that people consented to may be called back, as an approval says it.
#[must_use]
pub fn destinations_of_record(client: &ClientRecord) -> Vec<String> {
    let metadata: serde_json::Value = serde_json::from_str(&client.metadata).unwrap_or_default();
    let uris =
        metadata["redirect_uris"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    let scheme = |uri: &str| uri.split_once(':').map(|(scheme, _)| scheme.to_owned());
    let policy = RedirectPolicy {
        private_schemes: uris.clone().filter_map(scheme).collect(),
        ..RedirectPolicy::default()
    };
    let places = uris.filter_map(|uri| RedirectUri::parse(uri, &policy).ok());
    let mut places: Vec<String> = places.map(|uri| destination_text(uri.destination())).collect();
    places.dedup();
    places
}

/// Every host that such a client has to do with.
fn hosts_of_record(client: &ClientRecord) -> Vec<String> {
    let vouching = match client.kind {
        ClientIdKind::MetadataDocument => policy::host_of_document(&client.client_id).map(str::to_owned),
        ClientIdKind::Dynamic | ClientIdKind::PreRegistered => None,
    };
    destinations_of_record(client).into_iter().chain(vouching).collect()
}

impl AuthorizationServer {
    /// The client with this id, for a person who waits: a metadata document is fetched.
    pub(crate) async fn resolve(&self, id: &ClientId) -> Result<Client, ResolveError> {
        let known = self.not_blocked(id).await?;
        let client = match self.held(id) {
            Some(client) => client,
            None if id.kind() == ClientIdKind::MetadataDocument => {
                self.may_be_fetched(id).await?;
                self.by_document(id, known.as_ref()).await?
            }
            None => return Err(ResolveError::Unknown),
        };
        self.tolerated(client).await
    }

    /// Whoever is refused whatever their document says is not asked for it.
    async fn may_be_fetched(&self, id: &ClientId) -> Result<(), ResolveError> {
        let rules = self.parts.store.find_client_rules(id).await?;
        if policy::is_blocked_by_id(&self.settings.client_policy, &rules, id) {
            return Err(ResolveError::Blocked);
        }
        Ok(())
    }

    /// A client that no rule forbids.
    async fn tolerated(&self, client: Client) -> Result<Client, ResolveError> {
        let rules = self.parts.store.find_client_rules(client.id()).await?;
        if policy::is_blocked(&self.settings.client_policy, &rules, &client) {
            return Err(ResolveError::Blocked);
        }
        Ok(client)
    }

    /// Whether this client may ask people for this MCP server, to be called back there (product.md, P-7).
    pub(crate) async fn judge(
        &self,
        client: &Client,
        to: &VerifiedRedirectUri,
        server: &str,
    ) -> Result<Judged, StoreError> {
        Ok(self.judge_place(client, to, server).await?.0)
    }

    /// The same, with the place that it was judged by. What a device is given ends at a page of ours, so that its client is
    /// judged by every place at which it may be called back: the strictest counts.
    pub(crate) async fn judge_place(
        &self,
        client: &Client,
        to: &VerifiedRedirectUri,
        server: &str,
    ) -> Result<(Judged, Destination), StoreError> {
        let rules = self.parts.store.find_client_rules(client.id()).await?;
        let server = self.settings.server(server);
        let outside_here = server.map_or(Standing::Block, |server| server.outside_clients);
        let of_device = device::asked_from(&self.settings, to.as_str()).is_some();
        let places = client.metadata.redirect_uris.iter().map(RedirectUri::destination);
        let places = places.filter(|_| of_device).chain((!of_device).then(|| to.destination()));
        let judged = places.map(|to| {
            let asking = policy::Asking { client, outside_here, to };
            (policy::decide(&self.settings.client_policy, &rules, &asking), to.clone())
        });
        let strictest = judged.max_by_key(|(judged, _)| *judged);
        let without = || policy::decide_without_place(&self.settings.client_policy, &rules, client);
        Ok(strictest.unwrap_or_else(|| (without(), to.destination().clone())))
    }

    /// Whether this client could ask at once for this MCP server too, and be given a token for it.
    pub(crate) fn is_admitted(
        &self,
        client: &Client,
        (to, rules): (&VerifiedRedirectUri, &[ClientRule]),
        server: &ServerEntry,
    ) -> bool {
        let asking = policy::Asking { client, outside_here: server.outside_clients, to: to.destination() };
        policy::decide(&self.settings.client_policy, rules, &asking) == Judged::Allowed
            && self.is_let_in(client, Some(server)).is_ok()
    }

    /// Whether the MCP server is still open to this client, which may be called back outside.
    pub(crate) fn is_let_in(
        &self,
        client: &Client,
        server: Option<&ServerEntry>,
    ) -> Result<(), PersonRefusal> {
        let closed = server.is_some_and(|server| server.outside_clients == Standing::Block);
        if closed && self.settings.client_policy.may_leave(client) {
            return Err(PersonRefusal::ClientOutside);
        }
        Ok(())
    }

    /// The client with this id, where it comes with what a person consented to.
    pub(crate) async fn resolve_consented(&self, id: &ClientId) -> Result<Client, ResolveError> {
        let known = self.not_blocked(id).await?;
        let client = match self.held(id) {
            Some(client) => client,
            None if id.kind() == ClientIdKind::MetadataDocument => {
                self.may_be_fetched(id).await?;
                self.by_record(id, known.as_ref()).await?
            }
            None => return Err(ResolveError::Unknown),
        };
        self.tolerated(client).await
    }

    /// What is known of it without asking anybody. What the operator wrote comes first, and is all that counts.
    fn held(&self, id: &ClientId) -> Option<Client> {
        match id.kind() {
            ClientIdKind::Dynamic => {
                dynamic::open(&self.parts.keys.load().client_ids, id, &self.settings.redirects)
            }
            ClientIdKind::MetadataDocument | ClientIdKind::PreRegistered => {
                pre_registered::find(&self.settings.clients, id)
            }
        }
    }

    /// A client that the operator wrote down.
    pub(crate) fn known_client(&self, id: &ClientId) -> Option<Client> {
        pre_registered::find(&self.settings.clients, id)
    }

    async fn not_blocked(&self, id: &ClientId) -> Result<Option<ClientRecord>, ResolveError> {
        match self.parts.store.find_client(id).await? {
            Some(ClientRecord { blocked_at: Some(_), .. }) => Err(ResolveError::Blocked),
            known => Ok(known),
        }
    }

    /// The client and the redirect URI of a sign-in under way, verified anew: either may be gone since (CB-13). One that is
    /// known by its document is what it was when the sign-in began.
    pub(crate) async fn client_of(
        &self,
        record: &AuthorizationRecord,
    ) -> Result<Option<(Client, VerifiedRedirectUri)>, ResolveError> {
        if let Some(ourselves) = self.ourselves(record) {
            return Ok(Some(ourselves));
        }
        self.not_blocked(&record.client_id).await?;
        let client = match self.held(&record.client_id) {
            Some(client) => client,
            None => self.by_snapshot(record).ok_or(ResolveError::Unknown)??,
        };
        let client = self.tolerated(client).await?;
        let requested = record.request.redirect_uri.as_str();
        let redirect_uri = match device::asked_from(&self.settings, requested) {
            // The consent to a device ends at a page of ours.
            Some(_) => Some(VerifiedRedirectUri::of_our_own(requested, self.settings.pages_host())),
            None => client.verify_redirect_uri(Some(requested)),
        };
        Ok(redirect_uri.map(|redirect_uri| (client, redirect_uri)))
    }

    /// The same as the pages show it.
    pub(crate) async fn client_on_page(
        &self,
        record: &AuthorizationRecord,
    ) -> Result<Option<ClientOnPage>, ResolveError> {
        let found = self.client_of(record).await?;
        Ok(found.map(|(client, redirect_uri)| self.on_page(&client, redirect_uri)))
    }

    /// A client as the pages show it; of a device, with where it asked from.
    pub(crate) fn on_page(&self, client: &Client, redirect_uri: VerifiedRedirectUri) -> ClientOnPage {
        let asked_from = device::asked_from(&self.settings, redirect_uri.as_str()).map(str::to_owned);
        ClientOnPage { asked_from, ..client.on_page(redirect_uri) }
    }

    /// The MCP server of a sign-in as the pages show it.
    pub(crate) fn server_on_page(&self, record: &AuthorizationRecord) -> ServerOnPage {
        let (name, resource) = (record.request.server.clone(), record.request.resource.clone());
        let title = self.settings.server(&name).map_or_else(|| name.clone(), |server| server.title.clone());
        ServerOnPage { name, title, resource }
    }

    /// The secret of a client that registered itself.
    pub(crate) fn derived_secret(&self, client: &Client) -> Option<Secret> {
        dynamic::secret(&self.parts.keys.load().client_ids, client)
    }

    /// The secret of a client that the operator knows.
    pub(crate) fn configured_secret(&self, client: &Client) -> Option<&Secret> {
        pre_registered::secret(&self.settings.clients, client)
    }

    /// The keys of a client that authenticates by one.
    pub(crate) fn keys_of(&self, client: &Client) -> Option<ClientKeys> {
        match &client.metadata.keys {
            Some(PublishedKeys::At(url)) => Some(ClientKeys::At(url.clone())),
            Some(PublishedKeys::Inline(jwks)) => {
                client_assertion::client_keys(jwks).map(|keys| ClientKeys::Held(Arc::new(keys)))
            }
            None => pre_registered::keys(&self.settings.clients, client).cloned(),
        }
    }

    /// Whether this client's assertions may be for the token endpoint (requirements.md, AS-149).
    pub(crate) fn tolerates_token_endpoint(&self, client: &Client) -> bool {
        pre_registered::tolerates_token_endpoint(&self.settings.clients, client)
    }
}

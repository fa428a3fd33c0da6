//! Clients whose id is the URL of their metadata document (draft-ietf-oauth-client-id-metadata-document-02; product.md,
//! P-6). The host vouches for the document, and for nothing else: not for the name in it, and not for a program on the
//! person's own machine that uses the same id.
//!
//! A sign-in goes by the document as it was when it began: what is shown, consented to and redeemed is one thing, whatever
//! the host says meanwhile (attacks.md, CM-15). Where a client comes with a code or a refresh token, the record says what it
//! was when a person last consented, so that a host that is away ends nothing; and a document may ask for more proof than
//! that, never for less.

use protocol::oauth::{ClientId, ClientMetadata, HttpsUrl, TokenEndpointAuthMethod};
use store::{AuthorizationRecord, ClientRecord, StoreError};
use upstream::client_metadata_document::NoDocument;
use upstream::guarded::NotFetched;

use super::{Client, HostPattern, ResolveError};
use crate::pages::Vouching;
use crate::{AuthorizationServer, capabilities};

/// What becomes of a client whose host is not named in the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownHosts {
    /// It is a client like any other.
    Allow,
    /// Its document is read; whether it may go on is for the policy on clients to say (product.md, P-7).
    #[default]
    Ask,
    /// Nothing is fetched from there.
    Refuse,
}

/// Which documents are read.
#[derive(Debug, Clone, Default)]
pub struct DocumentRules {
    /// Hosts that are known: `host`, or `host:port`, in lower case.
    pub known_hosts: Vec<String>,
    /// Hosts that are known because many know them: the list of [`super::ClientPolicy`].
    pub well_known: Vec<HostPattern>,
    /// What becomes of all others.
    pub unknown_hosts: UnknownHosts,
}

impl DocumentRules {
    /// Whether any document is read at all.
    #[must_use]
    pub fn read_any(&self) -> bool {
        self.unknown_hosts != UnknownHosts::Refuse
            || !self.known_hosts.is_empty()
            || !self.well_known.is_empty()
    }

    /// Whether the operator named this host.
    #[must_use]
    pub fn knows(&self, url: &HttpsUrl) -> bool {
        let host = url.host_and_port();
        // Without a port in it, it is at the one of https.
        self.known_hosts.contains(&host) || self.well_known.iter().any(|pattern| pattern.matches(&host))
    }

    fn may_read(&self, url: &HttpsUrl) -> bool {
        self.unknown_hosts != UnknownHosts::Refuse || self.knows(url)
    }
}

impl From<NoDocument> for ResolveError {
    fn from(why: NoDocument) -> Self {
        match why {
            NoDocument::NotFetched(NotFetched::Busy) => Self::Busy,
            NoDocument::Url(_) => Self::Unknown,
            NoDocument::Flaw(_) | NoDocument::MediaType | NoDocument::NotFetched(_) | NoDocument::Resting => {
                Self::NoDocument
            }
        }
    }
}

/// How much a method proves. A client may come to prove more, and never less.
const fn strength(method: TokenEndpointAuthMethod) -> u8 {
    match method {
        TokenEndpointAuthMethod::None => 0,
        TokenEndpointAuthMethod::ClientSecretBasic | TokenEndpointAuthMethod::ClientSecretPost => 1,
        TokenEndpointAuthMethod::PrivateKeyJwt => 2,
    }
}

/// What holds where tokens are given out: the document as it is, with no less proof than a person consented to.
fn at_least(remembered: &ClientMetadata, mut current: ClientMetadata) -> ClientMetadata {
    if strength(current.token_endpoint_auth_method) < strength(remembered.token_endpoint_auth_method) {
        current.token_endpoint_auth_method = remembered.token_endpoint_auth_method;
        current.keys = current.keys.or_else(|| remembered.keys.clone());
    }
    current
}

impl AuthorizationServer {
    fn document_url(&self, id: &ClientId) -> Result<HttpsUrl, ResolveError> {
        let url = id.document_url().map_err(|_| ResolveError::Unknown)?;
        // We do not ask ourselves: each question would be another one.
        if self.settings.redirects.is_own(url.as_str()) {
            return Err(ResolveError::Unknown);
        }
        if self.settings.documents.may_read(&url) { Ok(url) } else { Err(ResolveError::HostRefused) }
    }

    /// The client as its document says now, for a person who waits. `known` is what the record says of it.
    pub(super) async fn by_document(
        &self,
        id: &ClientId,
        known: Option<&ClientRecord>,
    ) -> Result<Client, ResolveError> {
        let url = self.document_url(id)?;
        let metadata = self.parts.documents.read(id, &self.settings.redirects).await?;
        let remembered = known.and_then(|known| self.remembered(known));
        if remembered.is_some_and(|before| {
            strength(metadata.token_endpoint_auth_method) < strength(before.token_endpoint_auth_method)
        }) {
            return Err(ResolveError::Weaker);
        }
        Ok(document_client(id, metadata, &url))
    }

    /// The client of a sign-in that has begun.
    pub(super) fn by_snapshot(&self, record: &AuthorizationRecord) -> Option<Result<Client, ResolveError>> {
        let kept = record.request.client_metadata.as_deref()?;
        let client = || {
            let url = self.document_url(&record.client_id)?;
            let metadata = ClientMetadata::parse_kept(kept, &self.settings.redirects);
            Ok(document_client(&record.client_id, metadata.map_err(|_| ResolveError::Unknown)?, &url))
        };
        Some(client())
    }

    /// The client where tokens are given out. One that no person ever consented to has nothing to ask for here, and nothing
    /// is fetched for it.
    pub(super) async fn by_record(
        &self,
        id: &ClientId,
        known: Option<&ClientRecord>,
    ) -> Result<Client, ResolveError> {
        let url = self.document_url(id)?;
        let remembered = known.and_then(|known| self.remembered(known)).ok_or(ResolveError::Unknown)?;
        let metadata = match self.parts.documents.read_at_rest(id, &self.settings.redirects).await {
            Ok(current) => at_least(&remembered, current),
            Err(_) => remembered,
        };
        Ok(document_client(id, metadata, &url))
    }

    /// Whether the document of a client says something else than when a person last consented to it (section 8.4).
    pub(crate) async fn has_changed(&self, client: &Client) -> Result<bool, StoreError> {
        if client.snapshot().is_none() {
            return Ok(false);
        }
        let known = self.parts.store.find_client(client.id()).await?;
        Ok(known.is_some_and(|known| known.fingerprint != client.metadata.fingerprint()))
    }

    /// What the record says of a client. Tokens are not given back to a redirect URI, so one that the rules forbid by now
    /// does not matter here.
    fn remembered(&self, known: &ClientRecord) -> Option<ClientMetadata> {
        ClientMetadata::parse_kept(&known.metadata, &self.settings.redirects).ok()
    }
}

fn document_client(id: &ClientId, mut metadata: ClientMetadata, url: &HttpsUrl) -> Client {
    metadata.grant_types.retain(|grant_type| capabilities::DOCUMENT_GRANT_TYPES.contains(grant_type));
    Client { id: id.clone(), metadata, vouched: Vouching::Host(url.host_and_port()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none_read() -> DocumentRules {
        DocumentRules { unknown_hosts: UnknownHosts::Refuse, ..DocumentRules::default() }
    }

    #[test]
    fn a_host_is_known_by_its_name_and_port() {
        let rules = DocumentRules { known_hosts: vec!["claude.ai".to_owned()], ..none_read() };
        let may = |url: &str| rules.may_read(&HttpsUrl::parse(url).unwrap());
        assert!(may("https://claude.ai/c") && may("https://CLAUDE.ai:443/c"));
        for other in [
            "https://evil.claude.ai/c",
            "https://claude.ai.evil.example/c",
            "https://claude.ai:8443/c",
            "https://xn--bcher-kva.example/c",
        ] {
            assert!(!may(other), "{other}");
        }
        assert!(rules.read_any());
        assert!(!none_read().read_any());
    }

    /// One list says who is well known, for documents and for those who ask.
    #[test]
    fn a_well_known_host_is_a_known_one_at_the_port_of_https() {
        let well_known = crate::ClientPolicy::shipped();
        let rules = DocumentRules { well_known, ..none_read() };
        let may = |url: &str| rules.may_read(&HttpsUrl::parse(url).unwrap());
        for host in ["chatgpt.com", "claude.ai", "vscode.dev", "zed.dev"] {
            assert!(may(&format!("https://{host}/c")) && !may(&format!("https://{host}:8443/c")), "{host}");
        }
        assert!(rules.read_any() && !may("https://evil.claude.ai/c"));
    }
}

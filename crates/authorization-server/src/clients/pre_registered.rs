//! Clients that the operator wrote into the configuration (requirements.md, AS-106). They are known, so they are told
//! of errors at once, and their names are shown as verified.

use protocol::id::{Id, User};
use protocol::oauth::{
    ClientId, ClientIdKind, ClientMetadata, MetadataError, RedirectPolicy, TokenEndpointAuthMethod,
};
use protocol::secret::Secret;
use serde_json::json;
use thiserror::Error;

use super::{Client, ClientKeys};
use crate::capabilities;
use crate::pages::Vouching;

/// A client that was registered by hand. It is confidential if it has a secret or keys.
#[derive(Debug)]
pub struct PreRegisteredClient {
    client: Client,
    keys: Option<ClientKeys>,
    secret: Option<Secret>,
    tolerates_token_endpoint: bool,
}

/// Why a client cannot be registered by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PreRegisteredError {
    /// The id is taken for another way of registering, or could be taken for a person's (RFC 9700, section 4.15).
    #[error(
        "a `client_id` that begins with `dcr_` or is a UUID is of another kind, and one that begins with `https://` is the url of \
         a metadata document and has no secret"
    )]
    ClientId,
    /// The rest is refused as it would be from a client.
    #[error("{0}")]
    Metadata(#[from] MetadataError),
    /// There is one way for each client to prove who it is.
    #[error("a secret and keys together")]
    SecretAndKeys,
    /// An empty secret is none.
    #[error("the secret is empty")]
    Secret,
}

impl PreRegisteredClient {
    /// A client with this id, name and redirect URIs; confidential if it has a secret.
    ///
    /// # Errors
    /// [`PreRegisteredError`] if the id is of another kind, or a redirect URI is refused.
    pub fn new(
        client_id: ClientId,
        name: Option<&str>,
        redirect_uris: &[String],
        secret: Option<Secret>,
        redirects: &RedirectPolicy,
    ) -> Result<Self, PreRegisteredError> {
        let method = method(&client_id, secret.as_ref())?;
        // Read as a registration would be, so that there is one set of rules for both.
        let mut registration = json!({
            "redirect_uris": redirect_uris,
            "grant_types": capabilities::KNOWN_GRANT_TYPES,
            "token_endpoint_auth_method": method,
        });
        if let Some(name) = name {
            registration["client_name"] = name.into();
        }
        let metadata = ClientMetadata::parse_registration(registration.to_string().as_bytes(), redirects)?;
        let client = Client { id: client_id, metadata, vouched: Vouching::Operator };
        Ok(Self { client, keys: None, secret, tolerates_token_endpoint: false })
    }

    /// The same with keys: it authenticates by `private_key_jwt` and nothing else. `tolerates_token_endpoint` is whether its
    /// assertions may be for the token endpoint, as RFC 7523 had it before its update (requirements.md, AS-149).
    ///
    /// # Errors
    /// [`PreRegisteredError::SecretAndKeys`].
    pub fn with_keys(
        mut self,
        keys: ClientKeys,
        tolerates_token_endpoint: bool,
    ) -> Result<Self, PreRegisteredError> {
        if self.secret.is_some() {
            return Err(PreRegisteredError::SecretAndKeys);
        }
        self.client.metadata.token_endpoint_auth_method = TokenEndpointAuthMethod::PrivateKeyJwt;
        Ok(Self { keys: Some(keys), tolerates_token_endpoint, ..self })
    }

    /// A client that acts as a service account: it has no person in front of it, so it is never called back (RFC 7591,
    /// section 5).
    ///
    /// # Errors
    /// [`PreRegisteredError`] if the id is of another kind.
    pub fn machine(
        client_id: ClientId,
        name: Option<&str>,
        secret: Option<Secret>,
    ) -> Result<Self, PreRegisteredError> {
        let method = method(&client_id, secret.as_ref())?;
        let metadata = ClientMetadata::of_machine(name, method, capabilities::MACHINE_GRANT_TYPES);
        let client = Client { id: client_id, metadata, vouched: Vouching::Operator };
        Ok(Self { client, keys: None, secret, tolerates_token_endpoint: false })
    }

    /// The same, where every token request of it carries a proof (RFC 9449, section 5.2).
    #[must_use]
    pub const fn with_bound_tokens(mut self, bound: bool) -> Self {
        self.client.metadata.dpop_bound_access_tokens = bound;
        self
    }

    /// The client, as any other.
    pub(crate) fn into_client(self) -> Client {
        self.client
    }

    /// Its id.
    #[must_use]
    pub const fn client_id(&self) -> &ClientId {
        &self.client.id
    }
}

/// How a client with this id and secret authenticates, if it can be one.
fn method(
    client_id: &ClientId,
    secret: Option<&Secret>,
) -> Result<TokenEndpointAuthMethod, PreRegisteredError> {
    let could_be_a_person = client_id.as_str().parse::<Id<User>>().is_ok();
    let fits = match client_id.kind() {
        ClientIdKind::Dynamic => false,
        // Pinned: what stands here takes the place of the document (draft -02, section 7.2), and a document has no secret
        // (section 4.1).
        ClientIdKind::MetadataDocument => secret.is_none() && client_id.document_url().is_ok(),
        ClientIdKind::PreRegistered => !could_be_a_person,
    };
    if !fits {
        return Err(PreRegisteredError::ClientId);
    }
    if secret.is_some_and(Secret::is_empty) {
        return Err(PreRegisteredError::Secret);
    }
    Ok(match secret {
        Some(_) => TokenEndpointAuthMethod::ClientSecretBasic,
        None => TokenEndpointAuthMethod::None,
    })
}

/// The client with this id.
pub(super) fn find(known: &[PreRegisteredClient], id: &ClientId) -> Option<Client> {
    known.iter().find(|known| known.client.id == *id).map(|known| known.client.clone())
}

/// Its secret, if it has one.
pub(super) fn secret<'a>(known: &'a [PreRegisteredClient], client: &Client) -> Option<&'a Secret> {
    known.iter().find(|known| known.client.id == client.id)?.secret.as_ref()
}

/// Its keys, if it has some.
pub(super) fn keys<'a>(known: &'a [PreRegisteredClient], client: &Client) -> Option<&'a ClientKeys> {
    known.iter().find(|known| known.client.id == client.id)?.keys.as_ref()
}

/// Whether its assertions may be for the token endpoint.
pub(super) fn tolerates_token_endpoint(known: &[PreRegisteredClient], client: &Client) -> bool {
    known.iter().any(|known| known.client.id == client.id && known.tolerates_token_endpoint)
}

/// With a secret by hand nobody says where it will stand: header and body prove the same.
pub(super) const EITHER_SECRET: &[TokenEndpointAuthMethod] =
    &[TokenEndpointAuthMethod::ClientSecretBasic, TokenEndpointAuthMethod::ClientSecretPost];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_house::*;

    fn new(id: &str, uris: &[&str], secret: Option<&str>) -> Result<PreRegisteredClient, PreRegisteredError> {
        let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
        let secret = secret.map(|text| Secret::new(text.to_owned()));
        PreRegisteredClient::new(
            ClientId::parse(id).unwrap(),
            None,
            &uris,
            secret,
            &RedirectPolicy::default(),
        )
    }

    /// AS-042.
    #[test]
    fn each_reason_is_reached() {
        let mut reached = every_reason!(PreRegisteredError { ClientId, Metadata, Secret, SecretAndKeys });
        for (id, uris, secret, name) in [
            ("dcr_mine", [LOOPBACK].as_slice(), None, "ClientId"),
            ("https://client.example/id", &[LOOPBACK], Some("s"), "ClientId"),
            ("https://client.example", &[LOOPBACK], None, "ClientId"),
            ("01890a5d-ac96-774b-bcce-b302099a8057", &[LOOPBACK], None, "ClientId"),
            ("mine", &[], None, "Metadata"),
            ("mine", &["http://client.example/cb"], None, "Metadata"),
            ("mine", &[LOOPBACK], Some(""), "Secret"),
        ] {
            assert_eq!(reached.reach(&new(id, uris, secret).unwrap_err()), name);
        }
        let keys = ClientKeys::Held(std::sync::Arc::default());
        let both = new("mine", &[LOOPBACK], Some("s")).unwrap().with_keys(keys, false).unwrap_err();
        assert_eq!(reached.reach(&both), "SecretAndKeys");
        reached.all_but(&[]);
    }

    /// AS-051.
    #[test]
    fn a_client_with_a_document_can_be_pinned() {
        let pinned = new("https://client.example/id", &[REMOTE], None).unwrap();
        let client = pinned.client;
        assert_eq!((client.vouched(), client.is_confidential()), (&Vouching::Operator, false));
    }

    /// AS-106.
    #[test]
    fn a_secret_makes_a_client_confidential() {
        assert!(new("mine", &[LOOPBACK], Some("s")).unwrap().client.is_confidential());
        let public = new("mine", &[LOOPBACK], None).unwrap();
        assert!(!public.client.is_confidential());
        assert_eq!(public.client_id().as_str(), "mine");
    }
}

//! Clients that registered themselves (RFC 7591; product.md, P-4): the id is the registration.

use protocol::keys::{KeyRing, MacKey};
use protocol::oauth::{ClientId, ClientIdKind, RedirectPolicy, dynamic_client};
use protocol::secret::Secret;

use super::Client;

/// Reads the registration out of the id. One that does not open was not made here, or its key is gone.
pub(super) fn open(keys: &KeyRing<MacKey>, id: &ClientId, redirects: &RedirectPolicy) -> Option<Client> {
    let opened = dynamic_client::open(keys, id, redirects).ok()?;
    Some(Client::registered(id.clone(), opened.metadata))
}

/// The secret that was shown at registration, derived anew; a public client has none.
pub(super) fn secret(keys: &KeyRing<MacKey>, client: &Client) -> Option<Secret> {
    let is_dynamic = client.id.kind() == ClientIdKind::Dynamic;
    if is_dynamic && client.has_secret() { dynamic_client::client_secret(keys, &client.id) } else { None }
}

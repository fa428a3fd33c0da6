//! What the usual house knows: its MCP servers, its clients, and what it is told of tools.

use policy::Access;

use super::{Built, House, text};

/// The MCP servers of the usual house.
pub(super) fn servers() -> Vec<(&'static str, Access)> {
    vec![("notes", Access::Everyone), ("ledger", Access::Groups(vec!["finance".to_owned()]))]
}

/// Clients that were made known beforehand.
pub(super) fn clients() -> Vec<(&'static str, Vec<String>, Option<&'static str>)> {
    vec![
        ("known-public", vec!["https://client.example/cb".to_owned()], None),
        ("known-native", vec!["http://127.0.0.1/callback".to_owned()], None),
        (
            "known-confidential",
            vec!["https://client.example/cb".to_owned()],
            Some("secret-of-the-known-client"),
        ),
    ]
}

impl House {
    /// Reads what is known of tools now, and not at the next turn.
    pub async fn tools_read(&self) -> Built<()> {
        self.resource_server.tools().read().await.map_err(text)
    }
}

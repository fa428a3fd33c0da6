//! Whose a row of `connections` is, as far as its tokens are bound to it (product.md, P-15).

use protocol::id::{Connection, Id, User};

use super::ConnectionRecord;

/// For what the tokens of a connection are sealed: one whose row is given to another person or MCP server, or says that it came
/// from elsewhere, opens no more (attacks.md, ST-02).
#[derive(Debug, Clone, Copy)]
pub struct TokensPlace<'a> {
    /// The id of the row.
    pub id: &'a Id<Connection>,
    /// Whose.
    pub user: &'a Id<User>,
    /// For which MCP server.
    pub server: &'a str,
    /// To whom they were given, by whom and for where.
    pub binding: &'a str,
}

impl<'a> TokensPlace<'a> {
    /// The column of access tokens.
    pub const ACCESS: &'static str = "access_token";
    /// The column of refresh tokens.
    pub const REFRESH: &'static str = "refresh_token";

    /// The context in one of the two columns.
    #[must_use]
    pub fn context(self, column: &'a str) -> [&'a [u8]; 6] {
        let owner = [self.user.as_bytes().as_slice(), self.server.as_bytes(), self.binding.as_bytes()];
        let [user, server, binding] = owner;
        [b"connections", column.as_bytes(), self.id.as_bytes(), user, server, binding]
    }
}

impl ConnectionRecord {
    /// For what its tokens are sealed.
    #[must_use]
    pub fn place(&self) -> TokensPlace<'_> {
        TokensPlace { id: &self.id, user: &self.user, server: &self.server, binding: &self.binding }
    }
}

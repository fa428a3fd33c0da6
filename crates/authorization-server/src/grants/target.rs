//! What a token request asks for, where no authorization request came before it: one MCP server (RFC 8707, section 2) and
//! a scope there (RFC 6749, section 3.3).

use protocol::oauth::{ErrorCode, ResourceUri, Scope};
use thiserror::Error;

use crate::capabilities;
use crate::settings::{ServerEntry, Settings};

/// Why a token request asks for nothing that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TargetRefusal {
    /// `resource` is missing, and none is the default (product.md, P-16).
    #[error("`resource` is missing")]
    ResourceMissing,
    /// A token is for one resource.
    #[error("several resources are asked for at once")]
    ResourceSeveral,
    /// `resource` is malformed or of no MCP server here.
    #[error("`resource` is not one of ours")]
    ResourceUnknown,
    /// `scope` asks for more than may be had. It is refused, not narrowed: nobody would see what is left (attacks.md, D-8).
    #[error("`scope` asks for more than may be had")]
    ScopeExceeds,
    /// `scope` is malformed.
    #[error("`scope` is malformed")]
    ScopeMalformed,
    /// Nothing at all may be had there.
    #[error("no scope is left that may be had")]
    ScopeNone,
}

impl TargetRefusal {
    /// What the client is told.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::ResourceMissing | Self::ResourceSeveral | Self::ResourceUnknown => ErrorCode::InvalidTarget,
            Self::ScopeExceeds | Self::ScopeMalformed | Self::ScopeNone => ErrorCode::InvalidScope,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ResourceMissing => "resource_missing",
            Self::ResourceSeveral => "resource_several",
            Self::ResourceUnknown => "resource_unknown",
            Self::ScopeExceeds => "scope_exceeds",
            Self::ScopeMalformed => "scope_malformed",
            Self::ScopeNone => "scope_none",
        }
    }
}

/// The one MCP server that is asked for. Naming it twice is naming it.
pub(crate) fn server<'a>(
    requested: &[String],
    settings: &'a Settings,
) -> Result<&'a ServerEntry, TargetRefusal> {
    let mut found: Option<&ServerEntry> = None;
    for text in requested {
        let resource = ResourceUri::parse(text).map_err(|_| TargetRefusal::ResourceUnknown)?;
        let server = settings.server_of(&resource).ok_or(TargetRefusal::ResourceUnknown)?;
        if found.is_some_and(|before| before.name != server.name) {
            return Err(TargetRefusal::ResourceSeveral);
        }
        found = Some(server);
    }
    let by_default = || settings.server(settings.default_server.as_deref()?);
    found.or_else(by_default).ok_or(TargetRefusal::ResourceMissing)
}

/// What of `most` is asked for; without a `scope`, what of it is asked for by default. What clients add out of habit is
/// dropped (product.md, P-3).
pub(crate) fn scope(
    requested: Option<&str>,
    most: &Scope,
    by_default: &Scope,
) -> Result<Scope, TargetRefusal> {
    let asked = requested.map(Scope::parse).transpose().map_err(|_| TargetRefusal::ScopeMalformed)?;
    let is_habit = |token: &str| capabilities::IGNORED_SCOPES.contains(&token) && !most.contains(token);
    let meant: Scope =
        asked.iter().flat_map(Scope::iter).filter(|token| !is_habit(token.as_str())).cloned().collect();
    if meant.is_empty() {
        let all = by_default.intersection(most);
        return if all.is_empty() { Err(TargetRefusal::ScopeNone) } else { Ok(all) };
    }
    if meant.is_subset(most) { Ok(meant) } else { Err(TargetRefusal::ScopeExceeds) }
}

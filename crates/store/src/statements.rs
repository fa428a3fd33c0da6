//! Every statement of the record, in one list, so that both engines can be asked to prepare all of them.
//!
//! The dialect that both take: house.md, 1.6. Parameters are numbered in the order in which they first appear.

/// One statement.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// What we call it.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

/// The statements of one file: a constant each, and the list of them.
macro_rules! statement_list {
    ($($name:ident = $sql:expr;)+) => {
        $(pub(crate) const $name: &str = $sql;)+
        pub(crate) const STATEMENTS: &[$crate::Statement] =
            &[$($crate::Statement { name: stringify!($name), sql: $name },)+];
    };
}
pub(crate) use statement_list;

/// A value, or nothing where it is larger than any of ours: SQLite would not read the row otherwise, nor those beside it.
macro_rules! sane {
    ($column:literal) => {
        concat!("CASE WHEN octet_length(", $column, ") <= 4194304 THEN ", $column, " END")
    };
}
pub(crate) use sane;

/// All statements that the record runs.
#[must_use]
pub fn statements() -> Vec<Statement> {
    [
        crate::audit_blocks::STATEMENTS,
        crate::audit_events::STATEMENTS,
        crate::audit_intents::STATEMENTS,
        crate::audit_keeping::STATEMENTS,
        crate::audit_keeping::forgetting::STATEMENTS,
        crate::audit_seals::STATEMENTS,
        crate::audit_seals::names::STATEMENTS,
        crate::audit_sending::STATEMENTS,
        crate::authorizations::STATEMENTS,
        crate::backup::STATEMENTS,
        crate::browser_sessions::STATEMENTS,
        crate::client_requests::STATEMENTS,
        crate::client_rules::STATEMENTS,
        crate::clients::STATEMENTS,
        crate::connecting::STATEMENTS,
        crate::connections::STATEMENTS,
        crate::consents::STATEMENTS,
        crate::device_authorizations::STATEMENTS,
        crate::emergency_logins::STATEMENTS,
        crate::grants::STATEMENTS,
        crate::identity_links::STATEMENTS,
        crate::keys::STATEMENTS,
        crate::maintenance::STATEMENTS,
        crate::offline_access::STATEMENTS,
        crate::queries::audit::STATEMENTS,
        crate::queries::STATEMENTS,
        crate::registration_tokens::STATEMENTS,
        crate::replays::STATEMENTS,
        crate::revocations::STATEMENTS,
        crate::sealed::STATEMENTS,
        crate::sign_ins::STATEMENTS,
        crate::signals::STATEMENTS,
        crate::standing::STATEMENTS,
        crate::stop::STATEMENTS,
        crate::tool_definitions::STATEMENTS,
        crate::upstream_clients::STATEMENTS,
        crate::usage::STATEMENTS,
        crate::users::STATEMENTS,
    ]
    .concat()
}

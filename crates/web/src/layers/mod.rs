//! What every request passes before a handler sees it: one concern a file, each a plain function that can be
//! tested without a socket.
//!
//! None of them decides who may do what; that is the roles' business.

pub(crate) mod address;
pub(crate) mod body;
pub(crate) mod cors;
pub(crate) mod framing;
pub(crate) mod guard;
pub(crate) mod host;
pub(crate) mod limits;
pub(crate) mod origin;
pub(crate) mod request_id;
pub(crate) mod security_headers;

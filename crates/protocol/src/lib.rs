//! The words: OAuth, OpenID Connect, JOSE and MCP as types that can only hold what the standards allow.
//!
//! Pure: no I/O, no async, no clock, no chance. Whatever needs time or chance is handed them by
//! [`world::Clock`] and [`world::Entropy`].

pub mod id;
pub mod jose;
pub mod keys;
pub mod mcp;
pub mod message_signature;
pub mod oauth;
pub mod oidc;
pub mod secevent;
pub mod secret;
pub mod strict_json;
#[cfg(test)]
mod test_world;
pub mod world;

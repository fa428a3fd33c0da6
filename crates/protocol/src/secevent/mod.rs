//! The words of security events: who is meant (RFC 9493), the token that tells of it (RFC 8417), and the request that tells an
//! authorization server to revoke everything of somebody (draft-parecki-oauth-global-token-revocation).

pub mod global_token_revocation;
pub mod security_event_token;
pub mod subject_identifier;

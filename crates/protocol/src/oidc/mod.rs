//! The words of OpenID Connect that an identity provider says after a sign-in.

pub mod logout_token;

//! How the value of a setting is written in TOML: what an editor must know of its type.
//!
//! The JSON Schema is made from this, and from what the setting says is allowed.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use protocol::world::Timestamp;
use url::Url;

use super::credentials::CredentialForm;
use super::listeners::Challenge;
use super::master_key::Service;
use super::scopes::FirstChallenge;
use super::tokens::DpopReplays;

/// How a value is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Written {
    /// `true` or `false`.
    Boolean,
    /// A list of texts.
    List,
    /// A whole number.
    Number,
    /// A text.
    Text,
    /// A text such as `10m`.
    Time,
    /// A text that begins with `http://` or `https://`.
    Url,
}

/// A type that settings have.
#[diagnostic::on_unimplemented(message = "say in `config/written.rs` how a `{Self}` is written in TOML")]
pub(super) trait AsWritten {
    /// How it is written.
    const WRITTEN: Written;
}

macro_rules! written {
    ($($written:ident: $($type:ty),+;)+) => {
        $($(impl AsWritten for $type { const WRITTEN: Written = Written::$written; })+)+
    };
}

written! {
    Boolean: bool;
    List: web::Serves;
    Number: u64;
    Text: String, SocketAddr, IpNet, Timestamp, Challenge, CredentialForm, FirstChallenge, Service, web::ForwardedHeader, upstream::oauth_client::Kind, upstream::oauth_client::Registration,
        upstream::route::Http2,
        authorization_server::AccessTokenAlgorithm, authorization_server::DeviceFlow, authorization_server::HostPattern, authorization_server::Named, authorization_server::NewPeople, authorization_server::Platform, authorization_server::Registration,
        authorization_server::Standing, authorization_server::UnknownHosts, protocol::message_signature::SignatureMode, protocol::oauth::DpopMode, protocol::oauth::TokenEndpointAuthMethod, resource_server::Per, resource_server::definitions::InputSchemas,
        resource_server::definitions::ToolsMode, DpopReplays;
    Time: Duration;
    Url: Url;
}

impl<T: AsWritten> AsWritten for Option<T> {
    const WRITTEN: Written = T::WRITTEN;
}

impl<T: AsWritten> AsWritten for Vec<T> {
    const WRITTEN: Written = Written::List;
}

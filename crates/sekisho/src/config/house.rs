//! The top of the file: where the house stands, and its master key.

use std::net::SocketAddr;

use ipnet::IpNet;
use web::ForwardedHeader;

use super::parse;
use super::settings::settings;

settings! {
    /// The top of the file. Paths are relative to the folder of the file.
    House = "" {
        /// The origin under which clients and people reach Sekisho. It is the issuer of every token and
        /// the beginning of every resource identifier, so it cannot be changed later without signing
        /// everybody out.
        public_url: String = required, "https://HOST, or http://localhost:PORT to try it out; no path, no final slash", parse::public_url;
        /// The origin of people's pages, if it is another one: authorization, login and consent are then under it, and
        /// under it alone. Identity providers send people back there. The issuer stays `public_url`.
        pages_url: Option<String> = optional, "https://HOST, or http://localhost:PORT to try it out; no path, no final slash", parse::public_url;
        /// The addresses to listen on for everybody, in clear. Listeners for some only, or with TLS, are `[[listener]]`;
        /// one of the two is needed.
        listen: Vec<SocketAddr> = "[]", "a list such as [\"127.0.0.1:8080\", \"[::1]:8080\"]", parse::addresses;
        /// The address of the metrics (`/metrics`). Nothing is served there if it is left out.
        metrics_listen: Option<SocketAddr> = optional, "an address such as \"127.0.0.1:9464\"", parse::address;
        /// The MCP server that is meant by clients which name none: those of revision 2025-03-26 send no
        /// `resource`. Without it such clients are refused when there are several MCP servers.
        default_server: Option<String> = optional, "the name of an MCP server", parse::name;
        /// The proxies in front of Sekisho that are believed when they say on whose behalf they come.
        trusted_proxies: Vec<IpNet> = "[]", "a list of networks such as [\"10.0.0.0/8\"]", parse::networks;
        /// The one header in which the trusted proxies say it. The other is ignored: a proxy passes on what the
        /// caller wrote there.
        forwarded_header: ForwardedHeader = "'X-Forwarded-For'", "\"X-Forwarded-For\" or \"Forwarded\"", forwarded_header;
        /// Web pages of these origins may call the MCP endpoints, in addition to the well-known web clients.
        allowed_origins: Vec<String> = "[]", "a list of origins such as [\"https://app.example.com\"]", parse::origins;
    }
}

impl House {
    /// Where people's pages are.
    pub fn pages_url(&self) -> &str {
        self.pages_url.as_deref().unwrap_or(&self.public_url)
    }
}

fn forwarded_header(value: &toml::de::DeValue<'_>) -> Result<ForwardedHeader, String> {
    match parse::text(value)?.to_ascii_lowercase().as_str() {
        "forwarded" => Ok(ForwardedHeader::Forwarded),
        "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
        _ => Err("is not one of the two headers".to_owned()),
    }
}

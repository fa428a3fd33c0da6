//! Prints `docs/configuration.md` from the declarations of the settings.

use std::fmt::Write;

use super::audit::{Audit, KeptArgument};
use super::client_id_metadata_documents::ClientIdMetadataDocuments;
use super::clients::{Clients, PreRegistered};
use super::consent::Consent;
use super::credentials::{ConnectionSettings, FixedSettings};
use super::exchange::ExchangeSettings;
use super::former_public_urls::FormerPublicUrl;
use super::house::House;
use super::id_jag::IdJagSettings;
use super::identity_providers::{
    Atlassian, Auth0, Entra, ExamplePerson, GitHub, Google, IdentityProvider, Keycloak, Oidc, Okta,
    Registered,
};
use super::keys::KeysConfig;
use super::limits::{Limits, NetworkLimits};
use super::listeners::{Acme, Listener, TlsFiles};
use super::master_key::KeyServiceSettings;
use super::mcp_server_limits::{Breaker, ServerLimit};
use super::mcp_servers::McpServer;
use super::minted::MintedSettings;
use super::outbound_proxy::OutboundProxy;
use super::policy::Policy;
use super::scopes::ServerScope;
use super::service_accounts::{MayAct, ServiceAccount};
use super::settings::SectionReference;
use super::store::Store;
use super::telemetry::Telemetry;
use super::tokens::Tokens;
use super::trusted_issuers::TrustedIssuer;
use super::workloads::{Workload, WorkloadIssuer};

pub(super) const SECTIONS: &[SectionReference] = &[
    House::REFERENCE,
    FormerPublicUrl::REFERENCE,
    Listener::REFERENCE,
    TlsFiles::REFERENCE,
    Acme::REFERENCE,
    Store::REFERENCE,
    IdentityProvider::REFERENCE,
    Registered::REFERENCE,
    Atlassian::REFERENCE,
    Auth0::REFERENCE,
    Entra::REFERENCE,
    GitHub::REFERENCE,
    Google::REFERENCE,
    Keycloak::REFERENCE,
    Oidc::REFERENCE,
    Okta::REFERENCE,
    ExamplePerson::REFERENCE,
    McpServer::REFERENCE,
    ServerScope::REFERENCE,
    FixedSettings::REFERENCE,
    ConnectionSettings::REFERENCE,
    ExchangeSettings::REFERENCE,
    IdJagSettings::REFERENCE,
    MintedSettings::REFERENCE,
    ServerLimit::REFERENCE,
    Breaker::REFERENCE,
    OutboundProxy::REFERENCE,
    Consent::REFERENCE,
    Tokens::REFERENCE,
    KeysConfig::REFERENCE,
    KeyServiceSettings::REFERENCE,
    Limits::REFERENCE,
    NetworkLimits::REFERENCE,
    Audit::REFERENCE,
    KeptArgument::REFERENCE,
    Telemetry::REFERENCE,
    Policy::REFERENCE,
    Clients::REFERENCE,
    ClientIdMetadataDocuments::REFERENCE,
    PreRegistered::REFERENCE,
    ServiceAccount::REFERENCE,
    MayAct::REFERENCE,
    Workload::REFERENCE,
    WorkloadIssuer::REFERENCE,
    TrustedIssuer::REFERENCE,
];

const INTRODUCTION: &str = "\
# Configuration

<!-- Printed by `cargo xtask generate` from the declarations in `crates/sekisho/src/config`. -->

`sekisho serve --config sekisho.toml` reads one TOML file. Every mistake is reported at once, with its line
and what is allowed. `sekisho check --config sekisho.toml` starts nothing and says whether the set-up would
work.

Times are written `30s`, `10m`, `12h`, `30d`. Paths are relative to the folder of the file. A secret is never
written into the file: `NAME_file` names a file that only its owner can read, `NAME_env` an environment
variable, `NAME_command` a program and its arguments, whose output is the secret. These are `master_key_…` at
the top of the file (required), `previous_master_key_…` beside it while the record goes over from one master key
to another, `postgres_…` in `[store]`, `client_secret_…` in `[[identity_provider]]`,
`directory_key_…` in that of Google, `secret_…` in `[[client]]`, `authorization_…` in `[telemetry]`,
`introspection_secret_…` in `[[mcp_server]]` (at least 32 characters of chance, by which
the MCP server may ask about access tokens: docs/verify-tokens-yourself.md), `value_…` in `[mcp_server.fixed]`, `client_secret_…` in `[mcp_server.connection]`,
`[mcp_server.exchange]` and `[mcp_server.id_jag]`, `private_key_…` in `[mcp_server.minted]`, and `password_…` in `[outbound_proxy]`.
So `client_secret_…` stands for `client_secret_file`, `client_secret_env` and `client_secret_command`.

`[mcp_server.outbound_proxy]` takes the settings of `[outbound_proxy]` for one MCP server, or `outbound_proxy = \"off\"` in
`[[mcp_server]]` goes straight there. `[previous_master_key]` takes those of `[master_key]`.

`[[mcp_server]]` needs one more setting, `access`: who may use the MCP server. It is a list of groups,
`access = [\"group:engineering\"]`, or the words `access = \"everyone who may log in\"`. Nobody may use an MCP
server until it is written. A service account (`[[service_account]]`) may use it if the list holds
`\"service-account:NAME\"`, or `\"service-account:NAME:read\"` for that scope alone; \"everyone who may log in\", which
may stand in the list too, admits people only. `\"policy\"`, alone or in the list, admits also whom a `permit` of your policies
lets in (docs/policy.md).

Editors that know JSON Schema for TOML (Taplo, Even Better TOML in VS Code, Tombi) explain and complete the settings
and underline what is wrong: `sekisho docs configuration-schema > sekisho.schema.json`, and above everything in
`sekisho.toml` the line

    #:schema ./sekisho.schema.json

The Debian package has the schema in `/usr/share/sekisho/configuration.schema.json`, and its example names it.
";

/// The whole of `docs/configuration.md`.
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in SECTIONS {
        let header = if section.header.is_empty() { "The top of the file" } else { section.header };
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {header}\n\n{}\n", paragraph(section.doc));
        for setting in section.settings {
            let default = match setting.default {
                "required" => "required".to_owned(),
                "optional" => "optional".to_owned(),
                value => format!("default `{}`", value.replace('\'', "\"")),
            };
            let _ = write!(
                page,
                "\n### `{}`\n\n{}\n\n- {default}\n- allowed: {}\n",
                setting.key,
                paragraph(setting.doc),
                setting.allowed
            );
        }
    }
    page
}

/// A documentation comment as text.
pub(super) fn paragraph(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
}

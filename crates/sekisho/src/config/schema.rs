//! The JSON Schema of the configuration (draft 7, which editors of TOML know), from the declarations of the settings.
//!
//! It helps while the file is being written and decides nothing: it refuses nothing that the reader takes (but for the
//! name of a header in other capitals), and what needs a look at the world is told by `sekisho check`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::identity_providers::{
    Atlassian, Auth0, Entra, ExamplePerson, GitHub, Google, IdentityProvider, Keycloak, Oidc, Okta,
    Registered,
};
use super::master_key::KeyServiceSettings;
use super::outbound_proxy::OutboundProxy;
use super::reference::{SECTIONS, paragraph};
use super::settings::{SectionReference, SettingReference};
use super::written::Written;

/// Secrets: in which table, under which name, and what may stand in their place. Each is `NAME_file`, `NAME_env` or
/// `NAME_command`.
const SECRETS: [(&str, &str, Option<&str>); 18] = [
    ("", "master_key", Some("master_key")),
    ("", "previous_master_key", Some("previous_master_key")),
    ("master_key", "secret_id", None),
    ("previous_master_key", "secret_id", None),
    ("store", "postgres", Some("sqlite")),
    ("acme", "eab_hmac_key", None),
    ("identity_provider", "client_secret", None),
    ("identity_provider", "directory_key", None),
    ("client", "secret", None),
    ("mcp_server", "introspection_secret", None),
    ("telemetry", "authorization", None),
    ("mcp_server.fixed", "value", None),
    ("mcp_server.connection", "client_secret", None),
    ("mcp_server.exchange", "client_secret", None),
    ("mcp_server.id_jag", "client_secret", None),
    ("mcp_server.minted", "private_key", None),
    ("outbound_proxy", "password", None),
    ("mcp_server.outbound_proxy", "password", None),
];

/// Of these one is needed.
const REQUIRED_SECRETS: [&str; 3] = ["master_key", "postgres", "value"];

/// Tables that cannot be left out.
const REQUIRED: [&str; 3] = ["identity_provider", "mcp_server", "store"];

/// The whole schema, as a file.
pub fn json() -> String {
    let mut root = Table::default();
    for section in SECTIONS {
        let table = root.at(path(section));
        table.repeated = section.header.starts_with("[[");
        table.add(section);
    }
    root.at("previous_master_key").add(&KeyServiceSettings::REFERENCE);
    root.at("mcp_server.outbound_proxy").add(&OutboundProxy::REFERENCE);
    root.at("mcp_server.outbound_proxy").or_word = Some("off");
    for (table, name, instead) in SECRETS {
        root.at(table).secret(name, instead);
    }
    root.required.extend(REQUIRED);
    root.rules.push(json!({"anyOf": [{"required": ["listen"]}, {"required": ["listener"]}]}));
    access(root.at("mcp_server"));
    tls(root.at("listener.tls"));
    by_kind(root.at("identity_provider"));
    let mut schema = root.into_schema();
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = "The configuration of Sekisho".into();
    schema.sort_all_objects();
    // A Value with texts as keys is always printable.
    format!("{schema:#}\n")
}

/// `limits.network` of `[[limits.network]]`.
fn path(section: &SectionReference) -> &'static str {
    section.header.trim_matches(['[', ']'])
}

/// One table of the file while its schema is being put together.
#[derive(Debug, Default)]
struct Table {
    description: String,
    repeated: bool,
    /// Written as one table as well, where it is repeated.
    or_one: bool,
    /// May be this word instead.
    or_word: Option<&'static str>,
    properties: BTreeMap<String, Value>,
    tables: BTreeMap<String, Table>,
    required: Vec<&'static str>,
    rules: Vec<Value>,
}

impl Table {
    /// The table of a dotted path below this one.
    fn at(&mut self, path: &str) -> &mut Self {
        let names = path.split('.').filter(|name| !name.is_empty());
        names.fold(self, |table, name| table.tables.entry(name.to_owned()).or_default())
    }

    fn add(&mut self, section: &SectionReference) {
        if self.description.is_empty() {
            self.description = paragraph(section.doc);
        }
        for setting in section.settings {
            self.properties.insert(setting.key.to_owned(), property(setting));
            if setting.default == "required" {
                self.required.push(setting.key);
            }
        }
    }

    fn secret(&mut self, name: &str, instead: Option<&str>) {
        let text = json!({"type": "string", "minLength": 1});
        let from = [
            ("file", "The file with the secret; only its owner may be able to read it.", text.clone()),
            ("env", "The environment variable with the secret.", text.clone()),
            (
                "command",
                "A program and its arguments, whose output is the secret.",
                json!({"type": "array", "items": text}),
            ),
        ];
        for (kind, doc, mut schema) in from {
            schema["description"] = doc.into();
            self.properties.insert(format!("{name}_{kind}"), schema);
        }
        let ways = ["file", "env", "command"].map(|kind| format!("{name}_{kind}"));
        let ways: Vec<&str> = instead.into_iter().chain(ways.iter().map(String::as_str)).collect();
        self.rules.push(one_of(&ways, REQUIRED_SECRETS.contains(&name)));
    }

    fn into_schema(self) -> Value {
        let mut properties: Map<String, Value> = self.properties.into_iter().collect();
        for (name, table) in self.tables {
            let needed = self.required.contains(&name.as_str());
            let (repeated, or_one, or_word) = (table.repeated, table.or_one, table.or_word);
            let one = table.into_schema();
            let schema = match (repeated, or_one) {
                (false, _) => match or_word {
                    Some(word) => json!({"anyOf": [one, {"const": word}]}),
                    None => one,
                },
                (true, false) => json!({"type": "array", "items": one, "minItems": u8::from(needed)}),
                (true, true) => json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}),
            };
            properties.insert(name, schema);
        }
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !self.description.is_empty() {
            schema["description"] = self.description.into();
        }
        if !self.required.is_empty() {
            schema["required"] = self.required.into();
        }
        if !self.rules.is_empty() {
            schema["allOf"] = self.rules.into();
        }
        schema
    }
}

fn property(setting: &SettingReference) -> Value {
    let mut schema = shape(setting.written, setting.allowed);
    schema["description"] = format!("{}\n\nAllowed: {}", paragraph(setting.doc), setting.allowed).into();
    let default: Option<toml::Table> = format!("value = {}", setting.default).parse().ok();
    if let Some(value) = default.and_then(|table| serde_json::to_value(table.get("value")?).ok()) {
        schema["default"] = value;
    }
    schema
}

/// What may be written, as narrow as `allowed` says it in words that can be counted on.
fn shape(written: Written, allowed: &str) -> Value {
    let words = choices(allowed);
    match written {
        Written::List if !words.is_empty() => json!({"type": "array", "items": {"enum": words}}),
        _ if !words.is_empty() => json!({"enum": words}),
        Written::Boolean if allowed == "true" => json!({"const": true}),
        Written::Boolean => json!({"type": "boolean"}),
        Written::List => json!({"type": "array", "items": {"type": "string", "minLength": 1}}),
        Written::Number => {
            let mut schema = json!({"type": "integer"});
            if let Some((least, most)) = range(allowed) {
                schema["minimum"] = least.into();
                schema["maximum"] = most.into();
            }
            schema
        }
        Written::Text => json!({"type": "string", "minLength": 1}),
        Written::Time => {
            let or: String = quoted(allowed).map(|word| format!("|{word}")).collect();
            json!({"type": "string", "pattern": format!("^([0-9]+[smhd]{or})$")})
        }
        Written::Url => json!({"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?:"}),
    }
}

/// The bounds in `1 to 200`.
fn range(allowed: &str) -> Option<(u64, u64)> {
    let (least, most) = allowed.split_once(" to ")?;
    Some((least.parse().ok()?, most.parse().ok()?))
}

/// The words between quotes.
fn quoted(allowed: &str) -> impl Iterator<Item = &str> {
    allowed.split('"').skip(1).step_by(2)
}

/// The words that may be written, where they are listed and nothing else is: `"off" or "v2"`.
fn choices(allowed: &str) -> Vec<&str> {
    let list = allowed.strip_prefix("a list of ").unwrap_or(allowed);
    let between = list.split('"').step_by(2).map(str::trim);
    let listed = between.into_iter().all(|glue| matches!(glue, "" | "," | "or"));
    if listed { quoted(list).collect() } else { Vec::new() }
}

/// Exactly one of these keys; or none, if none is needed.
fn one_of(keys: &[&str], needed: bool) -> Value {
    let mut cases: Vec<Value> = keys.iter().map(|key| json!({"required": [key]})).collect();
    if !needed {
        cases.push(json!({"not": {"anyOf": cases}}));
    }
    json!({"oneOf": cases})
}

/// `access`, which is a list of groups and service accounts, or a sentence.
fn access(server: &mut Table) {
    let everyone = "everyone who may log in";
    let entry =
        format!("^(group:.+|service-account:[a-z][a-z0-9-]*(:[A-Za-z0-9._:/-]+)?|policy|{everyone})$");
    let list = json!({"type": "array", "minItems": 1, "items": {"type": "string", "pattern": entry}});
    let schema = json!({
        "description": "Who may use the MCP server: a list of groups and service accounts, whom the policies permit, or \
            everyone. Nobody may until it is written.",
        "anyOf": [{"const": everyone}, {"const": "policy"}, list],
    });
    server.properties.insert("access".to_owned(), schema);
    server.required.push("access");
}

/// `tls`: one table or several with files, or one with `acme = true`.
fn tls(tls: &mut Table) {
    tls.or_one = true;
    let acme = json!({"const": true, "description": "A certificate by [acme]."});
    tls.properties.insert("acme".to_owned(), acme);
    let files = std::mem::take(&mut tls.required);
    tls.rules.push(json!({
        "if": {"required": ["acme"]},
        "then": {"maxProperties": 1},
        "else": {"required": files},
    }));
}

/// Each kind of identity provider, and its settings beside those of all that Sekisho is registered at.
const KINDS: [(&str, &SectionReference); 8] = [
    ("atlassian", &Atlassian::REFERENCE),
    ("auth0", &Auth0::REFERENCE),
    ("entra", &Entra::REFERENCE),
    ("github", &GitHub::REFERENCE),
    ("google", &Google::REFERENCE),
    ("keycloak", &Keycloak::REFERENCE),
    ("oidc", &Oidc::REFERENCE),
    ("okta", &Okta::REFERENCE),
];

/// What an identity provider needs and may have depends on its kind.
fn by_kind(provider: &mut Table) {
    let keys = |section: &SectionReference, only: Option<&str>| -> Vec<&'static str> {
        let settings = section.settings.iter();
        settings.filter(|s| only.is_none_or(|only| s.default == only)).map(|setting| setting.key).collect()
    };
    provider.required = keys(&IdentityProvider::REFERENCE, Some("required"));
    let ways = |name: &str| ["file", "env", "command"].map(|way| format!("{name}_{way}"));
    let person = path(&ExamplePerson::REFERENCE).rsplit('.').next().unwrap_or_default();
    let registered = keys(&Registered::REFERENCE, None);
    let owned = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect::<Vec<String>>();
    let mut every = owned(KINDS.iter().flat_map(|(_, section)| keys(section, None)).collect());
    every.extend(ways("directory_key"));
    for (kind, section) in KINDS {
        let mut own = owned(keys(section, None));
        if kind == "google" {
            own.extend(ways("directory_key"));
        }
        let mut foreign: Map<String, Value> =
            every.iter().filter(|key| !own.contains(key)).map(|key| (key.clone(), false.into())).collect();
        foreign.insert(person.to_owned(), false.into());
        // The same key has another default, and other words that are allowed, with another kind.
        foreign.extend(section.settings.iter().map(|one| (one.key.to_owned(), property(one))));
        let needed =
            [keys(&Registered::REFERENCE, Some("required")), keys(section, Some("required"))].concat();
        provider.rules.push(json!({
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {"required": needed, "properties": foreign},
        }));
    }
    let foreign: Map<String, Value> = every
        .into_iter()
        .chain(owned(registered))
        .chain(ways("client_secret"))
        .map(|key| (key, false.into()))
        .collect();
    provider.rules.push(json!({
        "if": {"properties": {"kind": {"const": "development"}}},
        "then": {"properties": foreign},
    }));
}

#[cfg(test)]
pub(super) mod tests;

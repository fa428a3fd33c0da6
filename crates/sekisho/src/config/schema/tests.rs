//! The schema against the reader, and against every configuration that the tree shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use toml::de::DeTable;

use super::{choices, property, range};
use crate::config::Config;
use crate::config::reference::SECTIONS;
use crate::config::settings::SettingReference;
use crate::config::written::Written;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&super::json()).unwrap());
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| jsonschema::draft7::new(&SCHEMA).unwrap());

/// A configuration with every table; `[previous_master_key]` is `[master_key]` again.
const WHOLE: &str = r#"
public_url = "https://mcp.example.com"
listen = ["127.0.0.1:8080"]
[[former_public_url]]
url = "https://old.example.com"
accepted_until = 2027-01-31
[master_key]
service = "aws-kms"
key = "alias/sekisho"
region = "eu-central-1"
[previous_master_key]
service = "vault"
key = "sekisho"
endpoint = "https://vault.example.com"
role_id = "a"
secret_id_file = "b"
[store]
postgres_file = "postgres.url"
[tokens]
[keys]
[limits]
[[limits.network]]
name = "cloud"
networks = ["203.0.113.0/24"]
[audit]
[[audit.arguments]]
server = "wiki"
tool = "write_page"
names = ["title"]
[telemetry]
otlp_endpoint = "http://127.0.0.1:4318"
[clients]
[consent]
[client_id_metadata_documents]
[[client]]
client_id = "dashboard"
redirect_uris = ["https://dashboard.example.com/callback"]
secret_env = "DASHBOARD"
[[client]]
client_id = "runner"
secret_env = "RUNNER"
[[service_account]]
name = "ci"
clients = ["runner"]
[[service_account.may_act]]
from = "wiki"
to = ["board"]
scopes = ["read"]
[[service_account.workload]]
issuer = "https://kubernetes.default.svc"
claims = ["sub=system:serviceaccount:prod:runner"]
[[workload_issuer]]
issuer = "https://kubernetes.default.svc"
platform = "kubernetes"
[[trusted_issuer]]
issuer = "https://example.okta.com"
identity_provider = "okta"
[[listener]]
address = "127.0.0.1:8443"
tls = { acme = true }
[[listener]]
address = "127.0.0.1:8444"
[[listener.tls]]
certificate_file = "a.pem"
key_file = "a.key"
[acme]
terms_of_service_agreed = true
[[identity_provider]]
id = "okta"
kind = "oidc"
issuer = "https://example.okta.com"
client_id = "a"
[[identity_provider]]
id = "atlassian"
kind = "atlassian"
client_id = "a"
client_secret_env = "A"
sites = ["acme:c1"]
product = "jira"
[[identity_provider]]
id = "auth0"
kind = "auth0"
client_id = "a"
domain = "acme.eu.auth0.com"
organization = "org_1"
[[identity_provider]]
id = "entra"
kind = "entra"
client_id = "a"
tenants = ["11111111-2222-3333-4444-555555555555"]
[[identity_provider]]
id = "github"
kind = "github"
client_id = "a"
client_secret_env = "A"
organizations = ["acme:9919"]
[[identity_provider]]
id = "google"
kind = "google"
client_id = "a"
hosted_domains = ["acme.example"]
directory_admin = "admin@acme.example"
directory_key_file = "key.json"
[[identity_provider]]
id = "keycloak"
kind = "keycloak"
client_id = "a"
url = "https://id.acme.example"
realm = "staff"
[[identity_provider]]
id = "acme"
kind = "okta"
client_id = "a"
domain = "acme.okta.com"
[[mcp_server]]
name = "wiki"
url = "http://wiki.internal:8000/mcp"
access = ["group:engineering"]
credential = "connection"
[mcp_server.connection]
[mcp_server.outbound_proxy]
url = "http://proxy.example.com:3128"
[[mcp_server]]
name = "board"
url = "http://board.internal:8000/mcp"
access = ["group:engineering"]
outbound_proxy = "off"
credential = "fixed"
[mcp_server.fixed]
value_file = "board.key"
[[mcp_server]]
name = "desk"
url = "http://desk.internal:8000/mcp"
access = ["group:engineering"]
credential = "exchange"
[mcp_server.exchange]
authorization_server = "https://sts.example.com"
client_id = "sekisho"
client_secret_file = "sts.secret"
[[mcp_server]]
name = "lab"
url = "http://lab.internal:8000/mcp"
access = ["group:engineering"]
credential = "id_jag"
[mcp_server.id_jag]
authorization_server = "https://lab.example.com"
client_id = "sekisho"
client_secret_file = "lab.secret"
[[mcp_server]]
name = "forge"
url = "http://forge.internal:8000/mcp"
access = ["group:engineering"]
credential = "minted"
[mcp_server.minted]
app_id = "Iv23li"
installation_id = 7
private_key_file = "app.pem"
permissions = ["issues:write"]
[[mcp_server.limits]]
tool = "search"
per = "person"
calls_per_minute = 6
[mcp_server.breaker]
failures = 0
[[mcp_server.scope]]
name = "boards"
tools = ["add_board"]
words = "make boards"
[policy]
folder = "policies"
[outbound_proxy]
url = "http://proxy.example.com:3128"
username = "sekisho"
password_file = "proxy.password"
"#;

/// People of the development provider cannot be in the same house.
const DEVELOPMENT: &str = r#"
public_url = "http://localhost:8080"
listen = ["127.0.0.1:8080"]
master_key_command = ["cat", "master.key"]
[store]
sqlite = "sekisho.db"
[[identity_provider]]
id = "development"
kind = "development"
[[identity_provider.person]]
login = "alice"
name = "Alice Tanaka"
email = "alice@example.com"
[[mcp_server]]
name = "notes"
url = "http://127.0.0.1:9000/mcp"
access = "everyone who may log in"
"#;

/// As editors hand TOML to a schema: a date is a text.
fn as_json(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(as_json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, as_json(value))).collect())
        }
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
    }
}

/// What the schema finds wrong with a whole configuration.
pub(in crate::config) fn refusals(text: &str) -> Vec<String> {
    refused(text.parse().unwrap())
}

fn refused(table: toml::Table) -> Vec<String> {
    let value = as_json(toml::Value::Table(table));
    VALIDATOR.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn read(text: &str) -> Config {
    Config::parse(text, Path::new("/etc/sekisho/sekisho.toml")).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_schema_is_one_and_takes_what_the_reader_takes() {
    jsonschema::draft7::meta::validate(&SCHEMA).unwrap();
    for text in [WHOLE, DEVELOPMENT] {
        read(text);
        assert_eq!(refusals(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_wrong_key_a_wrong_type_and_a_missing_key_are_refused() {
    for (from, to) in [
        ("listen =", "lisen ="),
        ("key = \"alias/sekisho\"", "key = \"alias/sekisho\"\nkye = 1"),
        ("[keys]", "[keys]\nlead_time = 600"),
        ("[keys]", "[keys]\nlead_time = \"10 minutes\""),
        ("[limits]", "[limits]\nconnections = \"many\""),
        ("[limits]", "[limits]\nconnections = 9"),
        ("[audit]", "[audit]\nread_only_calls = \"no\""),
        ("[clients]", "[clients]\nprivate_schemes = \"cursor\""),
        ("\"aws-kms\"", "\"azure\""),
        ("terms_of_service_agreed = true", "terms_of_service_agreed = false"),
        ("tls = { acme = true }", "tls = { acme = true, key_file = \"a\" }"),
        ("certificate_file = \"a.pem\"\n", ""),
        ("[\"group:engineering\"]", "[\"engineering\"]"),
        ("[\"group:engineering\"]", "\"everybody\""),
        ("access = [\"group:engineering\"]\n", ""),
        ("issuer = \"https://example.okta.com\"\n", ""),
        ("outbound_proxy = \"off\"", "outbound_proxy = \"on\""),
        ("kind = \"oidc\"", "kind = \"development\""),
        ("kind = \"oidc\"", "kind = \"okta\""),
        ("kind = \"okta\"", "kind = \"keycloak\""),
        ("product = \"jira\"", "product = \"bitbucket\""),
        ("product = \"jira\"", "organizations = [\"acme:9919\"]"),
        ("domain = \"acme.okta.com\"\n", ""),
        ("realm = \"staff\"\n", ""),
        ("realm = \"staff\"", "realm = \"staff\"\ndirectory_key_file = \"key.json\""),
        ("[master_key]\n", "[master_key]\nsecret_id_file = \"a\"\nsecret_id_env = \"b\"\n"),
        ("postgres_file =", "sqlite = \"a\"\npostgres_file ="),
        ("postgres_file = \"postgres.url\"\n", ""),
        (
            "public_url = \"https://mcp.example.com\"\n",
            "public_url = \"https://mcp.example.com\"\nmaster_key_env = \"KEY\"\n",
        ),
    ] {
        let text = WHOLE.replacen(from, to, 1);
        assert_ne!(text, WHOLE, "{from}");
        assert_ne!(refusals(&text), Vec::<String>::new(), "{from} -> {to}");
    }
}

/// The keys that the reader asks for: it names them all when it meets one that it does not know.
fn asked_for() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for text in [WHOLE, DEVELOPMENT] {
        let mut lines: Vec<String> = vec!["unknown = 1".to_owned()];
        for line in text.lines() {
            lines.push(line.replace("acme = true }", "acme = true, unknown = 1 }"));
            if line.starts_with('[') {
                lines.push("unknown = 1".to_owned());
            }
        }
        let text = lines.join("\n");
        let mistakes = Config::parse(&text, Path::new("sekisho.toml")).unwrap_err();
        for mistake in mistakes.list {
            let Some(table) = mistake.key.strip_suffix("unknown") else { panic!("{mistake:?}") };
            let names = table.split('.').map(|name| name.split('[').next().unwrap_or_default());
            let table = names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(".");
            found.entry(table).or_default().extend(mistake.allowed.split(", ").map(str::to_owned));
        }
    }
    found
}

fn described(schema: &Value, table: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let schema = [&schema["anyOf"][0], &schema["items"], schema]
        .into_iter()
        .find(|schema| schema["properties"].is_object());
    let Some(properties) = schema.and_then(|schema| schema["properties"].as_object()) else { return };
    found.insert(table.to_owned(), properties.keys().cloned().collect());
    for (key, schema) in properties {
        described(schema, format!("{table}.{key}").trim_start_matches('.'), found);
    }
}

#[test]
fn the_schema_knows_the_keys_that_the_reader_asks_for_and_no_other() {
    let mut known = BTreeMap::new();
    described(&SCHEMA, "", &mut known);
    let asked = asked_for();
    assert_eq!(known.keys().collect::<Vec<_>>(), asked.keys().collect::<Vec<_>>());
    for (table, keys) in asked {
        assert_eq!(known[&table], keys, "[{table}]");
    }
}

fn takes(setting: &SettingReference, value: &str) -> bool {
    let line = format!("value = {value}");
    let table = DeTable::parse(&line).unwrap();
    (setting.takes)(table.get_ref().values().next().unwrap().get_ref())
}

#[test]
fn of_each_setting_the_schema_takes_what_the_reader_takes_and_refuses_other_types() {
    let texts = ["''", "'off'", "'a'", "'10m'", "'5s'", "'1h'", "'90d'", "'http://a/'", "'HTTPS://a/'"];
    let lists = ["[]", "['a']", "['https://a']", "['10.0.0.0/8']", "['mailto:a@b']", "[1]", "'x'"];
    let others = ["true", "false", "0", "1", "0x10", "1.5", "{}", "{ a = 1 }", "2027-01-31", "'2027-01-31'"];
    // `kind` is read as any text and judged afterwards.
    for setting in SECTIONS.iter().flat_map(|section| section.settings).filter(|one| one.key != "kind") {
        let schema = property(setting);
        let validator = jsonschema::draft7::new(&schema).unwrap();
        let fits = |value: &str| {
            let table: toml::Table = format!("value = {value}").parse().unwrap();
            validator.is_valid(&as_json(table["value"].clone()))
        };
        for value in texts.iter().chain(&lists).chain(&others) {
            assert!(!takes(setting, value) || fits(value), "{}: {value} is refused", setting.key);
        }
        for wrong in ["{ a = 1 }", "1.5", "[[1]]"] {
            assert!(!takes(setting, wrong) && !fits(wrong), "{}: {wrong} is taken", setting.key);
        }
        if !matches!(setting.default, "required" | "optional") {
            assert!(takes(setting, setting.default) && fits(setting.default), "{}", setting.key);
            assert_ne!(schema["default"], Value::Null, "{}", setting.key);
        }
    }
}

#[test]
fn bounds_and_choices_that_the_schema_read_from_words_are_the_readers() {
    let mut seen = (0, 0);
    for setting in SECTIONS.iter().flat_map(|section| section.settings) {
        if setting.written == Written::Number {
            let (least, most) = range(setting.allowed).unwrap_or_else(|| panic!("{}", setting.key));
            assert!(
                takes(setting, &least.to_string()) && takes(setting, &most.to_string()),
                "{}",
                setting.key
            );
            assert!(!takes(setting, &(most + 1).to_string()), "{}", setting.key);
            assert!(least == 0 || !takes(setting, &(least - 1).to_string()), "{}", setting.key);
            seen.0 += 1;
        }
        let list = setting.written == Written::List;
        // What is told by `kind` is read as any text and judged later.
        for choice in choices(setting.allowed) {
            let value = if list { format!("['{choice}']") } else { format!("'{choice}'") };
            assert!(takes(setting, &value), "{}: {choice}", setting.key);
            let other = value.replace(choice, "something else");
            assert!(setting.key == "kind" || !takes(setting, &other), "{}", setting.key);
            seen.1 += 1;
        }
    }
    assert!(seen.0 > 10 && seen.1 > 10, "{seen:?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Markdown file of the documentation.
fn pages() -> Vec<PathBuf> {
    let mut folders = vec![root().join("docs")];
    let mut pages: Vec<PathBuf> = ["README.md", "SECURITY.md"].iter().map(|name| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// What stands between a line of three backticks with `toml` and the next one.
fn snippets(page: &str) -> Vec<String> {
    page.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
}

/// A part of a configuration, put into one that is whole.
fn completed(part: &str) -> toml::Table {
    let mut whole: toml::Table = WHOLE.parse().unwrap();
    let part: toml::Table = part.parse().unwrap_or_else(|error| panic!("{error}\n{part}"));
    for family in ["master_key", "previous_master_key"] {
        if part.keys().any(|key| key.starts_with(family)) {
            whole.remove(family);
        }
    }
    whole.extend(part);
    whole
}

#[test]
fn every_configuration_in_the_documentation_passes() {
    let mut count = 0;
    for page in pages() {
        for part in snippets(&std::fs::read_to_string(&page).unwrap()) {
            assert_eq!(refused(completed(&part)), Vec::<String>::new(), "{}:\n{part}", page.display());
            if part.contains("[[identity_provider]]") && part.contains("[store]") {
                assert_eq!(refusals(&part), Vec::<String>::new(), "{}", page.display());
                read(&part);
            }
            count += 1;
        }
    }
    assert!(count >= 10, "{count} snippets were found");
}

#[test]
fn the_configurations_that_are_shipped_pass() {
    let example = std::fs::read_to_string(root().join("deploy/debian/sekisho.toml")).unwrap();
    let values = std::fs::read_to_string(root().join("deploy/helm/sekisho/values.yaml")).unwrap();
    let (_, block) = values.split_once("\nconfig: |\n").unwrap();
    let block = block.lines().take_while(|line| line.starts_with("  ") || line.is_empty());
    let chart: String = block.map(|line| format!("{}\n", line.trim_start_matches("  "))).collect();
    for text in [example, chart] {
        assert_eq!(refusals(&text), Vec::<String>::new(), "{text}");
        read(&text);
    }
}

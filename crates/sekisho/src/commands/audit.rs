//! `sekisho audit`: who signed in, consented, refreshed, revoked and called what.
//!
//! Reads the record beside a running Sekisho. A table for people, JSON Lines for programs. All of it goes through page
//! by page and is never held whole.

mod export;
mod keep;
pub(super) mod noted;
mod own_file;
mod unreadable;
mod verify;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table, presets};
use protocol::id::{Id, Reference, User};
use protocol::oauth::ClientId;
use protocol::oauth::client_metadata::is_hidden;
use protocol::world::Clock;
use store::{AuditFilter, AuditKind, AuditRow, Outcome, Store};

use self::unreadable::Unreadable;
use super::docs::{Reader, offer, print, when};
use super::{ConfigArgument, Failure, people, servers};
use crate::config::Config;
use crate::wiring;
use crate::world::SystemClock;

const PAGE: u32 = 500;
const NOTHING: &str = "No events. Sign in with a client, and they appear here.\n";
/// Of whom there is no event.
const NOBODY: Id<User> = Id::from_bytes([0; 16]);
const NO_MATCH: &str = "No event is as you asked for. There are others: ask for less.\n";

const EXAMPLES: &str = "\
Examples:
  sekisho audit --config sekisho.toml                      the last 50 events
  sekisho audit --config sekisho.toml --reference K7Q2-9XWD
  sekisho audit --config sekisho.toml --kind call --server wiki --since 2h
  sekisho audit --config sekisho.toml --json --limit 0 > events.jsonl
  sekisho audit export --config sekisho.toml --follow --cursor export.cursor --to events.jsonl
  sekisho audit hold add --config sekisho.toml --user alice@example.com --reason \"case 7\"
  sekisho audit forget --config sekisho.toml bob@example.com
  sekisho audit checkpoint --config sekisho.toml > /elsewhere/checkpoint.json
  sekisho audit verify --config sekisho.toml --checkpoint /elsewhere/checkpoint.json";

/// What is asked of the record.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct AuditArguments {
    #[command(subcommand)]
    what: Option<What>,
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// JSON Lines instead of a table
    #[arg(long)]
    pub json: bool,
    /// Only this kind of event, such as `call` or `sign_in`
    #[arg(long, value_parser = parse_kind)]
    pub kind: Option<AuditKind>,
    /// Only this person or service account: an id, connector:subject, service-account:NAME or e-mail address; else part of
    /// the name that the events have
    #[arg(long, value_name = "PERSON")]
    pub user: Option<String>,
    /// Only this client
    #[arg(long, value_name = "CLIENT_ID")]
    pub client: Option<String>,
    /// Only this MCP server
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// Only this sign-in
    #[arg(long, value_parser = parse_reference)]
    pub reference: Option<Reference>,
    /// Only events of the last so many seconds, minutes, hours or days
    #[arg(long, value_name = "30s|10m|2h|7d", value_parser = parse_age)]
    pub since: Option<std::time::Duration>,
    /// At most so many, the newest; 0 for all, which are printed as they are read
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// What else is done with the audit.
#[derive(Debug, Subcommand)]
enum What {
    /// Print the last seal, signed, to be kept where nobody who can write into the store can write
    Checkpoint(ConfigArgument),
    /// Print every sealed event as a line of JSON, from where the last export ended
    Export(export::ExportArguments),
    /// Forget name and address of a person wherever they stand beside an event
    Forget(keep::ForgetArguments),
    /// Keep events from being removed, whatever their age
    Hold {
        /// What to do.
        #[command(subcommand)]
        action: keep::HoldAction,
    },
    /// Say whether the audit is what was sealed, and which rows are not; exit code 3 if some are not
    Verify(verify::VerifyArguments),
}

fn parse_kind(text: &str) -> Result<AuditKind, String> {
    AuditKind::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or_else(|| {
        let names: Vec<&str> = AuditKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("kinds are {}", names.join(", "))
    })
}

pub(super) fn parse_reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|_| "a reference looks like K7Q2-9XWD".to_owned())
}

pub(super) fn parse_age(text: &str) -> Result<std::time::Duration, String> {
    crate::config::parse_duration(text).ok_or_else(|| "a time looks like 30s, 10m, 2h or 7d".to_owned())
}

pub(super) fn run(arguments: &AuditArguments) -> Result<ExitCode, Failure> {
    let runtime = wiring::runtime()?;
    match &arguments.what {
        Some(What::Checkpoint(config)) => runtime.block_on(verify::checkpoint(config)),
        Some(What::Export(arguments)) => runtime.block_on(export::run(arguments)),
        Some(What::Forget(arguments)) => runtime.block_on(keep::forget(arguments)),
        Some(What::Hold { action }) => runtime.block_on(keep::hold(action)),
        Some(What::Verify(arguments)) => runtime.block_on(verify::verify(arguments)),
        None => {
            let file = arguments.config.as_ref().ok_or_else(|| {
                Failure::Arguments("say which configuration: `--config FILE`, or SEKISHO_CONFIG".to_owned())
            })?;
            runtime.block_on(read(arguments, &wiring::load_to_tend(file)?))
        }
    }
}

async fn read(arguments: &AuditArguments, config: &Config) -> Result<ExitCode, Failure> {
    let store = wiring::open_existing_store(config).await?;
    let wanted = Wanted::new(arguments, (config, store.as_ref()), &SystemClock::default()).await?;
    if arguments.limit == 0 {
        noted::note(&store, "audit", noted::filter(arguments, wanted.filter.user)).await?;
        return all(arguments, (config, store.as_ref()), &wanted, offer).await;
    }
    let mut rows = newest(arguments.limit, store.as_ref(), &wanted).await?;
    rows.extend(on_their_way(arguments.limit, store.as_ref(), &wanted).await?);
    noted::note(&store, "audit", noted::filter(arguments, wanted.filter.user)).await?;
    if rows.is_empty() {
        let why = wanted.nothing(config, store.as_ref()).await?;
        if !arguments.json {
            print(&why)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    print(&show(arguments, &rows, store.as_ref()).await?)?;
    let mut unreadable = Unreadable::default();
    unreadable.note(&rows);
    Ok(unreadable.exit_code())
}

/// Everything, page by page, so that a long record needs no more memory than a short one.
async fn all(
    arguments: &AuditArguments,
    (config, store): (&Config, &dyn Store),
    wanted: &Wanted,
    mut offer: impl FnMut(&str) -> Result<Reader, Failure>,
) -> Result<ExitCode, Failure> {
    let (mut page, mut is_empty, mut people) = (None, true, People::default());
    let mut unreadable = Unreadable::default();
    loop {
        let mut rows = store.export_audit(wanted.filter.clone(), page, PAGE).await?;
        let full = rows.len() == PAGE as usize;
        page = rows.last().map(|row| (row.at, row.id));
        people.name(&mut rows, store).await?;
        rows.retain(|row| wanted.is_by_name(row));
        is_empty &= rows.is_empty();
        // A reader that has gone away wants no more.
        if !rows.is_empty() && offer(&show(arguments, &rows, store).await?)? == Reader::Gone {
            return Ok(unreadable.exit_code());
        }
        unreadable.note(&rows);
        if !full {
            if is_empty {
                let why = wanted.nothing(config, store).await?;
                if !arguments.json {
                    offer(&why)?;
                }
            }
            return Ok(unreadable.exit_code());
        }
    }
}

/// The last so many, oldest first.
async fn newest(limit: usize, store: &dyn Store, wanted: &Wanted) -> Result<Vec<AuditRow>, Failure> {
    let mut rows: Vec<AuditRow> = Vec::new();
    let (mut page, mut people) = (None, People::default());
    loop {
        let mut batch = store.list_audit(wanted.filter.clone(), page, PAGE).await?;
        let full = batch.len() == PAGE as usize;
        page = batch.last().map(|row| (row.at, row.id));
        people.name(&mut batch, store).await?;
        rows.extend(batch.into_iter().filter(|row| wanted.is_by_name(row)));
        if !full || rows.len() >= limit {
            rows.truncate(limit);
            rows.reverse();
            return Ok(rows);
        }
    }
}

/// Calls that may change something and of which nobody knows yet how they end, at most so many: the last of all that is told.
async fn on_their_way(limit: usize, store: &dyn Store, wanted: &Wanted) -> Result<Vec<AuditRow>, Failure> {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let mut rows = store.list_intents(wanted.filter.clone(), limit).await?;
    rows.retain(|row| wanted.is_by_name(row));
    Ok(rows)
}

/// What people are called now, for events that were written without their name: a refresh, say, does not read it.
#[derive(Default)]
struct People(HashMap<Id<User>, Option<String>>);

impl People {
    async fn name(&mut self, rows: &mut [AuditRow], store: &dyn Store) -> Result<(), Failure> {
        for row in rows.iter_mut().filter(|row| row.name.is_none()) {
            let Some(user) = row.user else { continue };
            if let Entry::Vacant(unknown) = self.0.entry(user) {
                unknown.insert(store.find_user(user).await?.and_then(|user| user.email.or(user.name)));
            }
            row.name = self.0.get(&user).cloned().flatten();
        }
        Ok(())
    }
}

/// Which events are asked for.
struct Wanted {
    filter: AuditFilter,
    /// A part of the name, in lower case.
    part: Option<String>,
    /// Whom nobody here is, by any other name.
    unknown: Option<String>,
}

impl Wanted {
    async fn new(
        arguments: &AuditArguments,
        (config, store): (&Config, &dyn Store),
        clock: &dyn Clock,
    ) -> Result<Self, Failure> {
        let (mut part, mut unknown) = (None, None);
        // An id may be that of somebody of whom the audit alone tells.
        let mut user: Option<Id<User>> = arguments.user.as_ref().and_then(|text| text.parse().ok());
        if let (Some(text), None) = (&arguments.user, user) {
            match people::find_any(config, store, text).await {
                // A service account that was not used yet has no event.
                Ok(found) => user = Some(found.map_or(NOBODY, |found| found.id)),
                Err(Failure::Nobody(why)) => {
                    (part, unknown) = (Some(text.to_lowercase()), Some(why));
                }
                Err(failure) => return Err(failure),
            }
        }
        let filter = AuditFilter {
            kind: arguments.kind,
            user,
            client_id: arguments.client.clone(),
            server: arguments.server.clone(),
            reference: arguments.reference.clone(),
            since: arguments.since.map(|age| clock.now().minus(age)),
            until: None,
        };
        Ok(Self { filter, part, unknown })
    }

    /// What to say where no event is found; a mistake, if what is asked for is not there at all.
    async fn nothing(&self, config: &Config, store: &dyn Store) -> Result<String, Failure> {
        if let Some(unknown) = &self.unknown {
            return Err(Failure::Arguments(unknown.clone()));
        }
        if let Some(server) = &self.filter.server {
            servers::find_in_audit(config, store, server).await?;
        }
        if let Some(reference) = &self.filter.reference
            && let Some(found) = store.find_sign_ins(reference).await?.first()
        {
            let whole = store.sign_in_and_parts(found.part_of.unwrap_or(found.id)).await?;
            let attempt = whole.first().map(|first| &first.reference).filter(|first| *first != reference);
            return Ok(match attempt {
                Some(first) => {
                    format!("No event has {reference}. It is of the attempt {first}: ask for that.\n")
                }
                None => {
                    format!(
                        "No event has {reference}. `sekisho sign-in {reference}` says what it was told for.\n"
                    )
                }
            });
        }
        let is_narrowed = self.filter != AuditFilter::default();
        Ok(if is_narrowed { NO_MATCH } else { NOTHING }.to_owned())
    }

    fn is_by_name(&self, row: &AuditRow) -> bool {
        let Some(part) = &self.part else { return true };
        row.is_unreadable() || row.name.as_ref().is_some_and(|name| name.to_lowercase().contains(part))
    }
}

async fn show(arguments: &AuditArguments, rows: &[AuditRow], store: &dyn Store) -> Result<String, Failure> {
    if arguments.json {
        return Ok(rows.iter().map(|row| format!("{}\n", json(row))).collect());
    }
    let names = client_names(rows, store).await?;
    Ok(format!("{}\n", table(rows, &names)))
}

/// The names that clients gave themselves: ids of registered clients are too long to read.
async fn client_names(rows: &[AuditRow], store: &dyn Store) -> Result<HashMap<String, String>, Failure> {
    let mut names = HashMap::new();
    for id in rows.iter().filter_map(|row| row.client_id.as_ref()) {
        if names.contains_key(id) {
            continue;
        }
        let record = match ClientId::parse(id) {
            Ok(client_id) => store.find_client(&client_id).await?,
            Err(_) => None,
        };
        let name = record.and_then(|record| record.name).unwrap_or_else(|| shortened(id));
        names.insert(id.clone(), name);
    }
    Ok(names)
}

pub(super) fn shortened(id: &str) -> String {
    if id.chars().count() <= 20 {
        return id.to_owned();
    }
    format!("{}…", id.chars().take(16).collect::<String>())
}

fn table(rows: &[AuditRow], clients: &HashMap<String, String>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["WHEN", "EVENT", "OUTCOME", "WHO", "CLIENT", "SERVER", "WHAT", "REFERENCE"]);
    for row in rows {
        let client = row.client_id.as_ref().and_then(|id| clients.get(id)).cloned().unwrap_or_default();
        table.add_row([
            when(row.at),
            row.kind.clone(),
            outcome(row).to_owned(),
            printable(
                &row.name.clone().or_else(|| row.user.map(|user| user.to_string())).unwrap_or_default(),
            ),
            printable(&client),
            row.server.clone().unwrap_or_default(),
            printable(&what(row)),
            row.reference.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    table
}

/// How it ended, in a word or two.
const fn outcome(row: &AuditRow) -> &'static str {
    match row.outcome {
        Outcome::Unknown => "outcome unknown",
        ended @ (Outcome::Failed | Outcome::Ok | Outcome::Refused) => ended.as_str(),
    }
}

/// What happened in a few words: the tool or the method of a call, else the reason.
fn what(row: &AuditRow) -> String {
    if row.is_unreadable() {
        return format!("{}, altered", unreadable::what(row));
    }
    let detail = |name: &str| row.detail.get(name).cloned();
    let call = detail("tool").or_else(|| detail("name")).or_else(|| detail("method"));
    let mut text =
        call.unwrap_or_else(|| SHOWN.iter().filter_map(|name| detail(name)).collect::<Vec<_>>().join(" "));
    // What was kept of the arguments, and the operator's own words.
    let words = ["note", "why"].iter().filter_map(|name| detail(name)).map(|words| format!("\"{words}\""));
    for part in detail("arguments").into_iter().chain(words) {
        text = format!("{text} {part}");
    }
    match (text.trim(), &row.reason) {
        ("", Some(reason)) => reason.clone(),
        (text, Some(reason)) => format!("{text} ({reason})"),
        (text, None) => text.to_owned(),
    }
}

/// What is told of events that are no calls.
const SHOWN: [&str; 18] = [
    "what",
    "purpose",
    "granted",
    "scope",
    "grant_type",
    "new",
    "changed",
    "restored",
    "waiting",
    "unpinned",
    "giver",
    "identity",
    "host",
    "fingerprint",
    "destination",
    "place",
    "by",
    "filter",
];

/// Names come from strangers: nothing in them may move the cursor of a terminal, or turn the line around.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if is_hidden(character) { '\u{FFFD}' } else { character }).collect()
}

fn json(row: &AuditRow) -> serde_json::Value {
    let at = jiff::Timestamp::from_microsecond(row.at.micros()).unwrap_or_default();
    serde_json::json!({
        "id": row.id,
        "at": at.to_string(),
        "kind": row.kind,
        "outcome": row.outcome.as_str(),
        "reason": row.reason,
        "reference": row.reference.as_ref().map(ToString::to_string),
        "user": row.user,
        "name": row.name,
        "address": row.address,
        "client_id": row.client_id,
        "server": row.server,
        "grant": row.grant,
        "detail": row.detail,
        "sealed": row.sealed,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::FromArgMatches as _;
    use store::{AuditBlock, AuditBlocks as _, CallEvent, Engine, EngineConfig};

    use protocol::world::Timestamp;

    use super::*;
    use crate::world::SystemEntropy;

    #[test]
    fn nothing_that_a_stranger_chose_moves_the_cursor() {
        let odd = || "\u{1b}[2J\r\u{9b}1A\u{202e}gpj\u{2066}\u{200b}".to_owned();
        let row = AuditRow {
            id: Id::mint(Timestamp::from_secs(0), &SystemEntropy),
            at: Timestamp::from_secs(0),
            kind: "call".to_owned(),
            outcome: Outcome::Ok,
            reason: None,
            reference: None,
            user: None,
            client_id: Some(odd()),
            server: Some("notes".to_owned()),
            grant: None,
            name: Some(odd()),
            address: None,
            detail: BTreeMap::from([("name".to_owned(), odd())]),
            sealed: false,
        };
        let clients = HashMap::from([(odd(), odd())]);
        let shown = table(&[row], &clients).to_string();
        let odd = |c: char| is_hidden(c) && !matches!(c, '\n' | '\u{fffd}');
        assert!(!shown.chars().any(odd), "{shown:?}");
    }

    /// A configuration that says as little as it can.
    const CONFIG: &str = "public_url = \"http://localhost:8080\"\nlisten = [\"127.0.0.1:8080\"]\nmaster_key_file = \"master.key\"\n[store]\nsqlite = \"record.db\"\n\
        [[identity_provider]]\nid = \"development\"\nkind = \"development\"\n\
        [[mcp_server]]\nname = \"notes\"\nurl = \"http://127.0.0.1:9/mcp\"\naccess = \"everyone who may log in\"\n";

    fn arguments(more: &[&str]) -> AuditArguments {
        let command = AuditArguments::augment_args(clap::Command::new("audit"));
        let line = ["audit", "--config", "sekisho.toml"].iter().chain(more);
        AuditArguments::from_arg_matches(&command.try_get_matches_from(line).unwrap()).unwrap()
    }

    /// However long the record is, it goes out in pieces, oldest first, and no further than somebody reads.
    #[tokio::test]
    async fn everything_is_printed_page_by_page() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.db");
        let store = Engine::open(EngineConfig::Sqlite { path, synchronous_full: false }).await.unwrap();
        let arguments = arguments(&["--json", "--limit", "0"]);
        let wanted = Wanted { filter: AuditFilter::default(), part: None, unknown: None };
        let config = Config::parse(CONFIG, std::path::Path::new("sekisho.toml")).unwrap();
        let call = |number: i64| CallEvent {
            id: Id::mint(Timestamp::from_secs(number), &SystemEntropy),
            at: Timestamp::from_secs(number),
            outcome: Outcome::Ok,
            reason: None,
            user: None,
            client_id: None,
            server: Some("notes"),
            grant: None,
            subject: None,
            method: "ping",
            name: None,
            status: 200,
            duration_ms: 1,
            bytes: 1,
        };
        store.append_blocks(&AuditBlock::pack((0..1200).map(call).collect()), &[], &[]).await.unwrap();
        let (mut pages, mut text) = (Vec::new(), String::new());
        let keep = |page: &str| {
            pages.push(page.lines().count());
            text.push_str(page);
            Ok(Reader::There)
        };
        all(&arguments, (&config, &store), &wanted, keep).await.unwrap();
        assert_eq!(pages, [500, 500, 200]);
        let at = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["at"].clone();
        let times: Vec<_> = text.lines().map(|line| at(line).as_str().unwrap().to_owned()).collect();
        assert!(times.is_sorted() && times[0] == "1970-01-01T00:00:00Z");
        let mut asked = 0;
        let gone = |_: &str| {
            asked += 1;
            Ok(Reader::Gone)
        };
        all(&arguments, (&config, &store), &wanted, gone).await.unwrap();
        assert_eq!(asked, 1);
        assert_eq!(newest(3, &store, &wanted).await.unwrap().len(), 3);
    }
}

//! `sekisho sign-in`: why a client did not connect, in words (product.md, P-19).
//!
//! Reads the record beside a running Sekisho. A reference finds an attempt here and nowhere else: over HTTP it would be short
//! enough to be guessed, and one person's attempts are nobody else's business.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use protocol::id::{Id, Reference};
use protocol::world::{Clock, Timestamp};
use store::{SignInFilter, SignInRow, SignInStep, SignInStepRow, Store};

use super::audit::{parse_age, parse_reference, printable, shortened};
use super::docs::{print, when};
use super::{Failure, people};
use crate::config::Config;
use crate::wiring;
use crate::words;
use crate::world::SystemClock;

/// An attempt of which nothing was heard for so long has come to nothing.
const UNFINISHED: Duration = Duration::from_secs(10 * 60);
const PAGE: u32 = 500;
const NOTHING: &str =
    "No attempts. Connect with a client, and they appear here; they are kept for 14 days.\n";

const EXAMPLES: &str = "\
Examples:
  sekisho sign-in --config sekisho.toml K7Q2-9XWD          what happened, which rule said no, what to do
  sekisho sign-in --config sekisho.toml --failed           the last 20 that did not end in a call
  sekisho sign-in --config sekisho.toml --user alice@example.com --last 5
  sekisho sign-in --config sekisho.toml --address 192.0.2.7 --since 2h --json

The reference stands on every page of a sign-in and in the error that the client is told.";

/// What is asked of the record.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SignInArguments {
    /// The configuration file
    #[arg(long, short, env = "SEKISHO_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// The reference that the person was shown, or the client was told
    #[arg(value_name = "REF", value_parser = parse_reference)]
    pub reference: Option<Reference>,
    /// JSON Lines instead of words
    #[arg(long)]
    pub json: bool,
    /// At most so many, the newest
    #[arg(long, default_value_t = 20, value_name = "N", conflicts_with = "reference")]
    pub last: usize,
    /// Only those that did not end in a call: refused, or come to nothing
    #[arg(long, conflicts_with = "reference")]
    pub failed: bool,
    /// Only this person: an id, connector:subject or an e-mail address
    #[arg(long, value_name = "PERSON", conflicts_with = "reference")]
    pub user: Option<String>,
    /// Only this client: its id, or the name that it gave itself
    #[arg(long, value_name = "CLIENT", conflicts_with = "reference")]
    pub client: Option<String>,
    /// Only to this MCP server
    #[arg(long, value_name = "NAME", conflicts_with = "reference")]
    pub server: Option<String>,
    /// Only those that began at this address
    #[arg(long, value_name = "ADDRESS", conflicts_with = "reference")]
    pub address: Option<std::net::IpAddr>,
    /// Only those of the last so many seconds, minutes, hours or days
    #[arg(long, value_name = "30s|10m|2h|7d", value_parser = parse_age, conflicts_with = "reference")]
    pub since: Option<Duration>,
}

pub(super) fn run(arguments: &SignInArguments) -> Result<ExitCode, Failure> {
    let config = wiring::load_to_tend(&arguments.config)?;
    let runtime = wiring::runtime()?;
    runtime.block_on(read(arguments, &config))
}

async fn read(arguments: &SignInArguments, config: &Config) -> Result<ExitCode, Failure> {
    let store = wiring::open_existing_store(config).await?;
    let now = SystemClock::default().now();
    let attempts = match &arguments.reference {
        Some(reference) => of_reference(reference, store.as_ref()).await?,
        None => listed(arguments, store.as_ref(), now).await?,
    };
    if arguments.json {
        print(&attempts.iter().map(|attempt| format!("{}\n", json(attempt, now))).collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    match (&arguments.reference, attempts.as_slice()) {
        (Some(reference), []) => Err(Failure::Arguments(unknown(reference))),
        (Some(_), found) => {
            print(&found.iter().map(|attempt| told(attempt, now)).collect::<Vec<_>>().join("\n"))
                .map(|()| ExitCode::SUCCESS)
        }
        (None, []) => print(NOTHING).map(|()| ExitCode::SUCCESS),
        (None, found) => print(&format!("{}\n", table(found, now))).map(|()| ExitCode::SUCCESS),
    }
}

fn unknown(reference: &Reference) -> String {
    format!(
        "nothing is known under {reference}: an attempt is kept for 14 days, written down within a second, and of \
         strangers no more than so many a minute; the log has the line of every refusal (reference={reference})"
    )
}

/// What `sekisho sign-in REF` prints, for those who have the record open already.
///
/// # Errors
/// If the record does not answer.
pub async fn sign_in_in_words(
    reference: &Reference,
    store: &dyn Store,
    now: Timestamp,
) -> Result<String, Failure> {
    let found = of_reference(reference, store).await?;
    Ok(found.iter().map(|attempt| told(attempt, now)).collect::<Vec<_>>().join("\n"))
}

/// One attempt with its parts: the attempt itself first.
#[derive(Debug)]
pub(crate) struct Attempt {
    rows: Vec<SignInRow>,
    /// Which groups of the person were told at their last sign-in, if that was asked.
    groups: Option<Vec<String>>,
}

impl Attempt {
    /// The row of the attempt; there is always one.
    fn first(&self) -> Option<&SignInRow> {
        self.rows.first()
    }

    /// All steps, in their order, each with the reference under which it was told if that is another one.
    fn steps(&self) -> Vec<(&SignInStepRow, Option<&Reference>)> {
        let own = self.first().map(|row| row.id);
        let mut steps = Vec::new();
        for row in &self.rows {
            let told_under = (Some(row.id) != own).then_some(&row.reference);
            steps.extend(row.steps.iter().map(|step| (step, told_under)));
        }
        steps.sort_by_key(|(step, _)| step.at);
        steps
    }
}

/// What is known under a reference. If it was told for a part of an attempt, the whole attempt.
pub(crate) async fn of_reference(reference: &Reference, store: &dyn Store) -> Result<Vec<Attempt>, Failure> {
    let mut attempts = Vec::new();
    let mut seen = BTreeSet::new();
    for row in store.find_sign_ins(reference).await? {
        let id = row.part_of.unwrap_or(row.id);
        if !seen.insert(id) {
            continue;
        }
        let mut rows = store.sign_in_and_parts(id).await?;
        if rows.first().is_none_or(|first| first.id != id) {
            // Its attempt is gone already.
            rows = vec![row];
        }
        let groups = match rows.first().and_then(|row| row.user) {
            Some(user) => store.find_user(user).await?.map(|user| user.groups),
            None => None,
        };
        attempts.push(Attempt { rows, groups });
    }
    Ok(attempts)
}

async fn listed(
    arguments: &SignInArguments,
    store: &dyn Store,
    now: Timestamp,
) -> Result<Vec<Attempt>, Failure> {
    let user = match &arguments.user {
        Some(text) => Some(people::find_one(store, text).await?.id),
        None => None,
    };
    let filter = SignInFilter {
        address: arguments.address.map(|address| address.to_string()),
        client: arguments.client.clone(),
        failed: arguments.failed.then(|| now.minus(UNFINISHED)),
        server: arguments.server.clone(),
        since: arguments.since.map(|age| now.minus(age)),
        user,
    };
    let mut rows: Vec<SignInRow> = Vec::new();
    let mut page: Option<(Timestamp, Id<protocol::id::SignIn>)> = None;
    while rows.len() < arguments.last {
        let wanted = arguments.last - rows.len();
        let limit = u32::try_from(wanted).unwrap_or(PAGE).min(PAGE);
        let batch = store.list_sign_ins(filter.clone(), page, limit).await?;
        let full = batch.len() == limit as usize;
        page = batch.last().map(|row| (row.begun_at, row.id));
        rows.extend(batch);
        if !full {
            break;
        }
    }
    rows.reverse();
    Ok(rows.into_iter().map(|row| Attempt { rows: vec![row], groups: None }).collect())
}

/// How it stands, in a few words.
fn state(row: &SignInRow, now: Timestamp) -> &'static str {
    if row.connected_at.is_some() {
        "connected"
    } else if row.failed {
        "refused"
    } else if now.since(row.last_at) > UNFINISHED {
        "unfinished"
    } else {
        "under way"
    }
}

fn client(row: &SignInRow) -> String {
    let id = row.client_id.as_deref().map(|id| printable(&shortened(id)));
    match (&row.client_name, id) {
        (Some(name), Some(id)) => format!("{} ({id})", printable(name)),
        (Some(name), None) => printable(name),
        (None, Some(id)) => id,
        (None, None) => "not known".to_owned(),
    }
}

fn person(row: &SignInRow) -> Option<String> {
    row.name.as_deref().map(printable).or_else(|| row.user.map(|user| user.to_string()))
}

/// The whole attempt in words.
pub(crate) fn told(attempt: &Attempt, now: Timestamp) -> String {
    let Some(row) = attempt.first() else { return String::new() };
    let mut text = format!("Sign-in {}: {}\n", row.reference, state(row, now));
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    line("client", &client(row));
    line("MCP server", row.server.as_deref().unwrap_or("not known"));
    line("person", person(row).as_deref().unwrap_or("not known"));
    if let Some(groups) = &attempt.groups {
        line("groups", &words_of_groups(groups));
    }
    line("address", row.address.as_deref().unwrap_or("not known"));
    line("begun", &format!("{} UTC", when(row.begun_at)));
    let mut explained = BTreeSet::new();
    text.push('\n');
    for (step, reference) in attempt.steps() {
        tell_step(&mut text, step, (row.begun_at, reference), &mut explained);
    }
    if let Some(ending) = ending(row, now) {
        let _ = writeln!(text, "\n{ending}");
    }
    text
}

/// As the identity provider told them last.
fn words_of_groups(groups: &[String]) -> String {
    if groups.is_empty() {
        return "none were told at the last sign-in".to_owned();
    }
    let names: Vec<String> = groups.iter().map(|group| printable(group)).collect();
    format!("{} (as told at the last sign-in)", names.join(", "))
}

/// What to make of an attempt that was not refused and did not end in a call.
fn ending(row: &SignInRow, now: Timestamp) -> Option<&'static str> {
    if state(row, now) != "unfinished" {
        return None;
    }
    let step = SignInStep::ALL.iter().copied().find(|step| step.as_str() == row.last_step)?;
    Some(match step {
        SignInStep::Asked => "Nothing more came: the person did not press the button of the sign-in page.",
        SignInStep::SentToProvider => {
            "Nothing more came: the person did not come back from the identity provider. If they did sign in there, its \
             redirect back does not lead here; compare the redirect URI that is registered there."
        }
        SignInStep::SignedIn => "Nothing more came: the person did not decide on the consent page.",
        SignInStep::ConsentGiven | SignInStep::ConsentRemembered => {
            "Nothing more came: the browser took the code to the client, and the client did not redeem it. Known causes: \
             nobody listens at its redirect URI any more (the client was closed, or its port was taken), it does not \
             recognise its own `state`, or it cannot reach the token endpoint from where it runs."
        }
        SignInStep::TokenIssued => {
            "Nothing more came: the client has its tokens and did not call. For us the sign-in succeeded; the client \
             failed after it. Known faults: it expects another `scope` or a member in the token response, it looks for \
             the MCP server at another URL, or it shows an old error. Look at its log, restart it."
        }
        SignInStep::AuthorizeRefused
        | SignInStep::CallRefused
        | SignInStep::Called
        | SignInStep::Challenged
        | SignInStep::ConnectRefused
        | SignInStep::ConsentDenied
        | SignInStep::ConsentRefused
        | SignInStep::MetadataRead
        | SignInStep::PathUnknown
        | SignInStep::PushRefused
        | SignInStep::Pushed
        | SignInStep::Refreshed
        | SignInStep::Registered
        | SignInStep::RegistrationRefused
        | SignInStep::SignInRefused
        | SignInStep::TokenRefused => return None,
    })
}

fn tell_step<'a>(
    text: &mut String,
    step: &'a SignInStepRow,
    (begun_at, reference): (Timestamp, Option<&Reference>),
    explained: &mut BTreeSet<&'a str>,
) {
    let known = SignInStep::ALL.iter().copied().find(|known| known.as_str() == step.step);
    let sentence = known.map_or("A step that this release does not know.", SignInStep::sentence);
    let times = if step.times > 1 { format!(" ({} times)", step.times) } else { String::new() };
    let _ = writeln!(text, "{}  {sentence}{times}", offset(step.at, begun_at));
    let mut line = |what: &str| {
        let _ = writeln!(text, "           {what}");
    };
    if let Some(reference) = reference {
        line(&format!("told under {reference}"));
    }
    match (&step.reason, known) {
        (None, Some(known)) => line(&format!("standard: {}", known.standard())),
        (None, None) => {}
        (Some(reason), _) => explain(&mut line, "rule", reason, explained),
    }
    for note in &step.notes {
        explain(&mut line, "note", note, explained);
    }
}

/// What a reason or a note means; in full the first time.
fn explain<'a>(line: &mut impl FnMut(&str), what: &str, reason: &'a str, explained: &mut BTreeSet<&'a str>) {
    let Some(words) = words::of(reason) else {
        return line(&format!("{what}: `{}`, of which this release knows no words", printable(reason)));
    };
    line(&format!("{what}: {} [{reason}]", words.rule));
    if explained.insert(reason) && words.remedy != words::NOTHING {
        line(&format!("standard: {}", words.standard));
        line(&format!("remedy: {}", words.remedy));
    }
}

/// When a step was, told from the beginning.
fn offset(at: Timestamp, begun_at: Timestamp) -> String {
    let seconds = at.since(begun_at).as_secs();
    let clock = if seconds < 3600 {
        format!("+{}:{:02}", seconds / 60, seconds % 60)
    } else {
        format!("+{}h{:02}", seconds / 3600, seconds % 3600 / 60)
    };
    format!("{clock:>9}")
}

fn table(attempts: &[Attempt], now: Timestamp) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["BEGUN", "REFERENCE", "STATE", "LAST", "WHO", "CLIENT", "SERVER"]);
    for row in attempts.iter().filter_map(Attempt::first) {
        let last = row.last_reason.as_deref().unwrap_or(&row.last_step);
        table.add_row([
            when(row.begun_at),
            row.reference.to_string(),
            state(row, now).to_owned(),
            printable(last),
            person(row).or_else(|| row.address.clone()).unwrap_or_default(),
            client(row),
            row.server.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn json(attempt: &Attempt, now: Timestamp) -> serde_json::Value {
    let Some(row) = attempt.first() else { return serde_json::Value::Null };
    let time = |at: Timestamp| jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default().to_string();
    let said = |reason: &str| {
        let words = words::of(reason);
        serde_json::json!({
            "reason": reason,
            "rule": words.map(|words| words.rule),
            "standard": words.map(|words| words.standard),
            "remedy": words.map(|words| words.remedy),
        })
    };
    let step = |(step, reference): (&SignInStepRow, Option<&Reference>)| {
        serde_json::json!({
            "at": time(step.at),
            "step": step.step,
            "times": step.times,
            "refused": step.reason.as_deref().map(said),
            "notes": step.notes.iter().map(|note| said(note)).collect::<Vec<_>>(),
            "told_under": reference.map(ToString::to_string),
        })
    };
    serde_json::json!({
        "reference": row.reference.to_string(),
        "state": state(row, now),
        "begun_at": time(row.begun_at),
        "last_at": time(row.last_at),
        "connected_at": row.connected_at.map(time),
        "client_id": row.client_id,
        "client_name": row.client_name,
        "server": row.server,
        "user": row.user,
        "groups": attempt.groups,
        "name": row.name,
        "grant": row.grant,
        "address": row.address,
        "steps": attempt.steps().into_iter().map(step).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;

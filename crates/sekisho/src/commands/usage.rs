//! `sekisho usage`: who uses what, and how much, from the audit.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use protocol::oauth::ClientId;
use protocol::world::{Clock as _, Timestamp};
use store::{Clients as _, Engine, LATENCIES_MS, Usage, UsageBy, UsageOf, UsageRecord as _, Users as _};

use super::audit::{parse_age, printable, shortened};
use super::docs::{moment, print, when};
use super::{ConfigArgument, Failure};
use crate::wiring;
use crate::world::SystemClock;

const EXAMPLES: &str = "\
Examples:
  sekisho usage --config sekisho.toml                    the last seven days, by MCP server
  sekisho usage --config sekisho.toml --by tool --since 24h
  sekisho usage --config sekisho.toml --by person --json
  sekisho usage --config sekisho.toml --svg usage.svg    a picture, hour by hour";

/// Columns of the picture on a terminal.
const WIDTH: usize = 40;
const HOUR: i64 = 3_600_000_000;

/// What is asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UsageArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// By what it is summed up
    #[arg(long, default_value = "server")]
    by: By,
    /// Of the last so many minutes, hours or days, by whole hours
    #[arg(long, value_name = "24h|7d", value_parser = parse_age, default_value = "7d")]
    since: Duration,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Draw the calls of each hour into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// By what usage is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// By client
    Client,
    /// By hour
    Hour,
    /// By person
    Person,
    /// By MCP server
    Server,
    /// By tool or method of an MCP server
    Tool,
}

impl From<By> for UsageBy {
    fn from(by: By) -> Self {
        match by {
            By::Client => Self::Client,
            By::Hour => Self::Hour,
            By::Person => Self::Person,
            By::Server => Self::Server,
            By::Tool => Self::Tool,
        }
    }
}

pub(super) fn run(arguments: &UsageArguments) -> Result<ExitCode, Failure> {
    let config = wiring::load_to_tend(&arguments.config.config)?;
    wiring::runtime()?.block_on(async {
        let store = wiring::open_existing_store(&config).await?;
        super::audit::noted::note(&store, "usage", String::new()).await?;
        let now = SystemClock::default().now();
        // What was sealed since the running Sekisho last summed up is in it too.
        while store.roll_up_usage().await? > 0 {}
        let since = now.minus(arguments.since);
        let lines = store.usage(arguments.by.into(), since, now.plus(Duration::from_secs(1))).await?;
        let names = names(&store, &lines).await?;
        if let Some(file) = &arguments.svg {
            let hours = store.usage(UsageBy::Hour, since, now).await?;
            let picture = svg(&by_hour(&hours, since, now));
            std::fs::write(file, picture)
                .map_err(Failure::io(format!("cannot write `{}`", file.display())))?;
        }
        if arguments.json {
            print(&json(&lines, &names))?;
        } else {
            let heading = arguments.by.to_possible_value().map(|by| by.get_name().to_uppercase());
            let since = Timestamp::from_micros(since.micros() - since.micros().rem_euclid(HOUR));
            let lines = merged(lines, &names);
            print(&table(&heading.unwrap_or_default(), &lines, &names))?;
            print(&format!("From {} to {}, in UTC.\n", when(since), when(now)))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What people and clients are called.
async fn names(store: &Engine, lines: &[(UsageOf, Usage)]) -> Result<HashMap<String, String>, Failure> {
    let mut names = HashMap::new();
    for (of, _) in lines {
        let name = match of {
            UsageOf::Person(None) => Some("nobody known".to_owned()),
            UsageOf::Person(Some(user)) => {
                store.find_user(*user).await?.and_then(|user| user.email.or(user.name))
            }
            UsageOf::Client(id) => match ClientId::parse(id) {
                Ok(client) => store.find_client(&client).await?.and_then(|client| client.name),
                Err(_) => None,
            },
            UsageOf::Hour(_) | UsageOf::Server(_) | UsageOf::Tool(..) => None,
        };
        names.extend(name.map(|name| (id_of(of), name)));
    }
    Ok(names)
}

fn id_of(of: &UsageOf) -> String {
    match of {
        UsageOf::Client(id) | UsageOf::Server(id) => id.clone(),
        UsageOf::Hour(at) => moment(*at),
        UsageOf::Person(user) => user.map(|user| user.to_string()).unwrap_or_default(),
        UsageOf::Tool(server, tool) => format!("{server} {tool}"),
    }
}

/// Up to how many milliseconds this share of the calls took; `None` if longer than the last bound.
fn quantile(usage: &Usage, of_hundred: u64) -> Option<u64> {
    let wanted = usage.calls.saturating_mul(of_hundred).div_ceil(100);
    let mut so_far = 0;
    usage.latencies.iter().zip(LATENCIES_MS).find_map(|(count, most)| {
        so_far += count;
        (so_far >= wanted).then_some(most)
    })
}

/// Clients that call themselves the same are one line, as on `sekisho clients list`: each installation registers anew. Of people each
/// line knows how many, and not who: the most of any is what is sure.
fn merged(lines: Vec<(UsageOf, Usage)>, names: &HashMap<String, String>) -> Vec<(UsageOf, Usage)> {
    let mut merged: Vec<(UsageOf, Usage)> = Vec::new();
    for (of, usage) in lines {
        let name = |of: &UsageOf| match of {
            UsageOf::Client(id) => names.get(id).cloned(),
            UsageOf::Hour(_) | UsageOf::Person(_) | UsageOf::Server(_) | UsageOf::Tool(..) => None,
        };
        let own = name(&of);
        let same = merged.iter_mut().find(|(of, _)| own.is_some() && name(of) == own);
        match same {
            Some((_, sum)) => add(sum, &usage),
            None => merged.push((of, usage)),
        }
    }
    if merged.iter().any(|(of, _)| matches!(of, UsageOf::Client(_))) {
        merged.sort_by_key(|(_, usage)| std::cmp::Reverse(usage.calls));
    }
    merged
}

fn add(sum: &mut Usage, more: &Usage) {
    sum.calls += more.calls;
    sum.failed += more.failed;
    sum.refused += more.refused;
    sum.bytes = sum.bytes.saturating_add(more.bytes);
    sum.people = sum.people.max(more.people);
    for (sum, more) in sum.latencies.iter_mut().zip(more.latencies) {
        *sum += more;
    }
}

fn table(heading: &str, lines: &[(UsageOf, Usage)], names: &HashMap<String, String>) -> String {
    if lines.is_empty() {
        return "No calls in this time.\n".to_owned();
    }
    let most = lines.iter().map(|(_, usage)| usage.calls).max().unwrap_or(1).max(1);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        heading,
        "CALLS",
        "FAILED",
        "REFUSED",
        "PEOPLE",
        "HALF WITHIN",
        "95% WITHIN",
        "BYTES",
        "",
    ]);
    let within = |most: Option<u64>| most.map_or_else(|| "longer".to_owned(), |most| format!("{most} ms"));
    for (of, usage) in lines {
        let id = id_of(of);
        let name = names.get(&id).cloned().unwrap_or_else(|| match of {
            UsageOf::Client(_) => shortened(&id),
            UsageOf::Hour(at) => when(*at),
            // What was called by a call that was refused is not told apart: anybody can make that up.
            UsageOf::Tool(server, tool) if tool.is_empty() => format!("{server} (refused)"),
            UsageOf::Person(_) | UsageOf::Server(_) | UsageOf::Tool(..) => id.clone(),
        });
        table.add_row([
            printable(&name),
            usage.calls.to_string(),
            usage.failed.to_string(),
            usage.refused.to_string(),
            usage.people.to_string(),
            within(quantile(usage, 50)),
            within(quantile(usage, 95)),
            usage.bytes.to_string(),
            bar(usage.calls, most),
        ]);
    }
    format!("{table}\n")
}

/// A bar in eighths of a column.
fn bar(count: u64, most: u64) -> String {
    let eighths = count.saturating_mul(u64::try_from(WIDTH * 8).unwrap_or(1)).div_ceil(most.max(1));
    let whole = usize::try_from(eighths / 8).unwrap_or(WIDTH).min(WIDTH);
    let mut bar = "█".repeat(whole);
    let rest = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    bar.extend(
        usize::try_from(eighths % 8).ok().and_then(|rest_of| rest.get(rest_of)).filter(|c| **c != ' '),
    );
    bar
}

fn json(lines: &[(UsageOf, Usage)], names: &HashMap<String, String>) -> String {
    let line = |(of, usage): &(UsageOf, Usage)| {
        let id = id_of(of);
        let bounds = LATENCIES_MS.iter().map(|most| Some(*most)).chain([None]);
        let latencies: Vec<_> = bounds
            .zip(usage.latencies)
            .map(|(most, calls)| serde_json::json!({"to_ms": most, "calls": calls}))
            .collect();
        let document = serde_json::json!({
            "of": id,
            "name": names.get(&id),
            "calls": usage.calls,
            "failed": usage.failed,
            "refused": usage.refused,
            "people": usage.people,
            "bytes": usage.bytes,
            "latencies": latencies,
        });
        format!("{document}\n")
    };
    lines.iter().map(line).collect()
}

/// The calls of every hour, those with none among them.
fn by_hour(hours: &[(UsageOf, Usage)], since: Timestamp, until: Timestamp) -> Vec<(Timestamp, u64)> {
    let known: HashMap<i64, u64> = hours
        .iter()
        .filter_map(|(of, usage)| match of {
            UsageOf::Hour(at) => Some((at.micros(), usage.calls)),
            UsageOf::Client(_) | UsageOf::Person(_) | UsageOf::Server(_) | UsageOf::Tool(..) => None,
        })
        .collect();
    let first = since.micros() - since.micros().rem_euclid(HOUR);
    (0..)
        .map(|number: i64| first + number * HOUR)
        .take_while(|hour| *hour < until.micros())
        .map(|hour| (Timestamp::from_micros(hour), known.get(&hour).copied().unwrap_or_default()))
        .collect()
}

/// A bar for each hour. All of it is ours: numbers and times.
fn svg(hours: &[(Timestamp, u64)]) -> String {
    const HEIGHT: u64 = 200;
    const BOTTOM: u64 = 30;
    const LEFT: usize = 60;
    let most = hours.iter().map(|(_, calls)| *calls).max().unwrap_or(1).max(1);
    let width = LEFT + hours.len() * 6 + 10;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<title>Calls by hour</title>\n<text x=\"4\" y=\"14\">{most} calls</text>\n",
        HEIGHT + BOTTOM
    );
    for (place, (at, calls)) in hours.iter().enumerate() {
        let high = calls.saturating_mul(HEIGHT).div_ceil(most);
        let (x, y) = (LEFT + place * 6, HEIGHT - high.min(HEIGHT));
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"5\" height=\"{high}\" fill=\"#2a6f97\"><title>{}: {calls}</title></rect>",
            moment(*at)
        );
    }
    if let (Some((first, _)), Some((last, _))) = (hours.first(), hours.last()) {
        let _ = writeln!(
            text,
            "<text x=\"{LEFT}\" y=\"{}\">{} – {}</text>",
            HEIGHT + 18,
            moment(*first),
            moment(*last)
        );
    }
    text.push_str("</svg>\n");
    text
}

#[cfg(test)]
mod tests {
    use protocol::id::{Id, User};

    use super::*;

    fn usage(calls: u64, latencies: [u64; 8]) -> Usage {
        Usage { calls, latencies, people: 1, ..Usage::default() }
    }

    #[test]
    fn a_quantile_is_the_bound_under_which_so_many_are() {
        let some = usage(100, [49, 1, 44, 1, 0, 0, 0, 5]);
        assert_eq!(
            (quantile(&some, 50), quantile(&some, 95), quantile(&some, 96)),
            (Some(30), Some(300), None)
        );
    }

    #[test]
    fn bars_are_as_long_as_what_they_show() {
        assert_eq!(bar(100, 100).chars().count(), WIDTH);
        assert_eq!((bar(0, 100), bar(1, 100_000)), (String::new(), "▏".to_owned()));
    }

    #[test]
    fn names_of_strangers_move_no_cursor_and_are_in_no_picture() {
        let odd = "\u{1b}[2J<script>".to_owned();
        let lines = [(UsageOf::Tool("notes".to_owned(), odd), usage(3, [3, 0, 0, 0, 0, 0, 0, 0]))];
        assert!(!table("TOOL", &lines, &HashMap::new()).contains('\u{1b}'));
        let hours = [(UsageOf::Hour(Timestamp::from_secs(3600)), usage(3, [3, 0, 0, 0, 0, 0, 0, 0]))];
        let drawn = by_hour(&hours, Timestamp::from_secs(0), Timestamp::from_secs(7300));
        assert_eq!(drawn.iter().map(|(_, calls)| *calls).collect::<Vec<_>>(), [0, 3, 0]);
        assert!(svg(&drawn).contains("1970-01-01T01:00:00Z: 3"));
    }

    #[test]
    fn what_programs_read_says_all() {
        let lines = [(UsageOf::Server("notes".to_owned()), usage(3, [1, 1, 1, 0, 0, 0, 0, 0]))];
        let document: serde_json::Value = serde_json::from_str(&json(&lines, &HashMap::new())).unwrap();
        assert_eq!((&document["of"], &document["calls"]), (&"notes".into(), &3.into()));
        assert_eq!(document["latencies"].as_array().unwrap().len(), 8);
    }

    /// S30: each installation of one client registers anew; that is one line with all of it.
    #[test]
    fn clients_that_call_themselves_the_same_are_one_line() {
        let client =
            |id: &str, calls| (UsageOf::Client(id.to_owned()), usage(calls, [calls, 0, 0, 0, 0, 0, 0, 0]));
        let lines = vec![client("dcr_c", 4), client("dcr_a", 3), client("dcr_b", 2), client("dcr_d", 2)];
        let named = |id: &str| (id.to_owned(), "Stranger".to_owned());
        let names = HashMap::from([named("dcr_a"), named("dcr_b")]);
        let calls =
            |lines: Vec<(UsageOf, Usage)>| lines.iter().map(|(_, usage)| usage.calls).collect::<Vec<_>>();
        assert_eq!(calls(merged(lines.clone(), &names)), [5, 4, 2]);
        assert_eq!(calls(merged(lines, &HashMap::new())), [4, 3, 2, 2], "what has no name is nobody else's");
        let hour = [(UsageOf::Hour(Timestamp::from_secs(7200)), usage(1, [1, 0, 0, 0, 0, 0, 0, 0]))];
        assert!(table("HOUR", &hour, &HashMap::new()).contains("1970-01-01 02:00:00"));
    }

    #[test]
    fn a_person_is_named_by_id_where_the_name_is_forgotten() {
        let user: Id<User> = Id::from_bytes([7; 16]);
        let lines = [(UsageOf::Person(Some(user)), usage(1, [1, 0, 0, 0, 0, 0, 0, 0]))];
        assert!(table("TOOL", &lines, &HashMap::new()).contains(&user.to_string()));
    }
}

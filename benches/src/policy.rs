//! What the operator's policies cost: a decision beside Cedar asked for all of them (in this process: no network, no
//! signature), and a list of tools through Sekisho beside the same list through a proxy that reads nothing.

use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request};
use policy::{
    Access, Around, Decision, KnownServer, Library, Listed, Person, PolicyFile, Question, ReadOnly,
    ServerRules,
};
use protocol::id::Id;
use protocol::mcp::{CallKind, McpCall};
use protocol::oauth::Scope;
use protocol::world::Timestamp;

use crate::flows::{CONNECTIONS, Session};
use crate::load::{Target, now, repeat};
use crate::peer::Peer;
use crate::pin::Core;
use crate::product::{Product, SERVER, Setup};
use crate::rounds::{Line, Rounds};
use crate::table::Table;
use crate::{Outcome, Plan, calls, flows};

/// How many of the policies concern the MCP server that is called.
const HANDFUL: usize = 6;
const SERVERS: usize = 100;
/// How many tools a long list has.
pub(crate) const TOOLS: usize = 200;
/// People who ask, one after the other.
const PEOPLE: u8 = 50;

/// How the answers may be found.
#[derive(Clone, Copy)]
enum Kind {
    /// The policies of the MCP server look at groups and tools: their answers are remembered.
    Kept,
    /// They look at the time as well: every call is judged anew.
    Fresh,
    /// They look at an argument.
    Arguments,
}

/// Decisions with so many policies, and a list.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    for number in [10, 100, 1_000] {
        let times = if plan.quick { 200 } else { 20_000 };
        let mut plain = Rounds::default();
        for _ in 0..plan.rounds {
            plain.push(all_of_them(number, times / 100)?);
        }
        for (kind, how) in [
            (Kind::Kept, "remembered"),
            (Kind::Fresh, "looks at the time, each in a second of its own"),
            (Kind::Arguments, "looks at an argument"),
        ] {
            let rules = rules(number, kind)?;
            let mut rounds = Rounds::default();
            for _ in 0..plan.rounds {
                rounds.push(decisions(&rules, kind, times)?);
            }
            let what = format!("decision on a call, {number} policies, {HANDFUL} for this MCP server; {how}");
            let (own, whole) = (rounds.show("µs", 2), plain.show("µs", 1));
            let ratio = plain.median() / rounds.median();
            table.row(&what, &format!("{own}; Cedar with all of them {whole}: {ratio:.0} ×"), "5 µs");
        }
    }
    for (kind, how) in [(Kind::Kept, "remembered for those who ask again"), (Kind::Fresh, "each judged anew")]
    {
        let (rules, mut rounds) = (rules(1_000, kind)?, Rounds::default());
        for _ in 0..plan.rounds.saturating_mul(4) {
            rounds.push(list(&rules)?);
        }
        let what = format!("which of {TOOLS} tools are shown, 1000 policies; {how}");
        table.row(&what, &rounds.show("ms", 3), "1 ms");
    }
    through(plan, table).await
}

/// Lists and calls through Sekisho and through a proxy that reads nothing.
async fn through(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let folder = tempfile::TempDir::new().map_err(|error| error.to_string())?;
    let text: String = (0..1_000).map(everybodys).collect();
    std::fs::write(folder.path().join("a.cedar"), text).map_err(|error| error.to_string())?;
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let bare = Peer::start_self(&["passthrough", &upstream.url], Core::Measured).await?;
    let mut setup = Setup::new(&upstream.url);
    let others = (1..SERVERS).map(|index| {
        format!(
            "[[mcp_server]]\nname = \"server{index}\"\nurl = \"http://127.0.0.1:9/mcp\"\naccess = [\"group:nobody\"]\n"
        )
    });
    setup.more =
        others.collect::<String>() + &format!("[policy]\nfolder = \"{}\"\n", folder.path().display());
    let product = Product::start(&setup).await?;
    let session = flows::sign_in(&product).await?;
    let (mut with, mut without) = (Line::default(), Line::default());
    for _ in 0..plan.rounds {
        let plain = calls::list("/mcp", None);
        without.round(&bare, repeat(&Target::of(&bare.url)?, plain, 1, plan.seconds)).await?;
        let asked = calls::list(&format!("/{SERVER}/mcp"), Some(&session.access_token));
        with.round(&product.peer, repeat(&product.target, asked, 1, plan.seconds)).await?;
    }
    let added = (with.p50.median() - without.p50.median()) / 1e3;
    let (own, least) = (with.cpu.show("µs", 0), without.cpu.show("µs", 0));
    table.row(
        &format!("tools/list of {TOOLS} tools through Sekisho, 1000 policies"),
        &format!("{own} of CPU; bare hyper {least}; {added:.2} ms more for one that waits"),
        "1 ms",
    );
    let free = Product::start(&Setup::new(&upstream.url)).await?;
    checked(plan, &bare, [(&product, &session), (&free, &flows::sign_in(&free).await?)], table).await
}

/// Calls with everything that is on, beside those that no policy judges, and beside a proxy that reads nothing.
async fn checked(
    plan: &Plan,
    bare: &Peer,
    [judged, free]: [(&Product, &Session); 2],
    table: &mut Table,
) -> Outcome<()> {
    let [mut with, mut without, mut least] = [(); 3].map(|()| Line::default());
    let (mut ratio, mut policies) = (Rounds::default(), Rounds::default());
    let of = |session: &Session| calls::checked(session);
    for _ in 0..plan.rounds.saturating_mul(2) {
        let there = Target::of(&bare.url)?;
        let work = repeat(&there, calls::call("/mcp", None), CONNECTIONS, plan.seconds);
        let plain = least.round(bare, work).await?;
        let work = repeat(&free.0.target, of(free.1), CONNECTIONS, plan.seconds);
        let unjudged = without.round(&free.0.peer, work).await?;
        let work = repeat(&judged.0.target, of(judged.1), CONNECTIONS, plan.seconds);
        let whole = with.round(&judged.0.peer, work).await?;
        ratio.push(whole / plain);
        policies.push(whole - unjudged);
    }
    table.row(
        "call with policies (1000, one of its 6 looks at the time), audit and metrics, 32 connections: CPU",
        &format!(
            "{}; bare hyper {}: {}",
            with.cpu.show("µs", 1),
            least.cpu.show("µs", 1),
            ratio.show("×", 2)
        ),
        "2 × bare hyper",
    );
    table.row(
        "what the policies are of that",
        &format!("{}; without any a call is {}", policies.show("µs", 1), without.cpu.show("µs", 1)),
        "5 µs",
    );
    Ok(())
}

/// As [`one`], but those of the MCP server mean everybody, and one of them looks at the time.
fn everybodys(index: usize) -> String {
    let kind = if index == 0 { Kind::Fresh } else { Kind::Kept };
    let whom = format!("principal in Group::\"g{index}\"");
    let text = one(index, kind, SERVER);
    if index < HANDFUL { text.replace(&whom, "principal") } else { text }
}

/// One of the policies: the first of them are of the MCP server that is asked.
fn one(index: usize, kind: Kind, first: &str) -> String {
    let condition = match kind {
        Kind::Kept => "",
        Kind::Fresh => " && context.time > datetime(\"2020-01-01T00:00:00Z\")",
        Kind::Arguments => " && context.arguments has amount && context.arguments.amount > 100",
    };
    let (server, condition) = if index < HANDFUL {
        (first.to_owned(), condition)
    } else {
        (format!("server{}", (index % SERVERS).max(1)), "")
    };
    format!(
        "@id(\"p{index}\") forbid (principal in Group::\"g{index}\", action == Action::\"call\", resource in \
         McpServer::\"{server}\") when {{ resource.name like \"delete*\"{condition} }};\n"
    )
}

fn rules(number: usize, kind: Kind) -> Outcome<ServerRules> {
    let file = |name: &str, text: String| PolicyFile { name: name.to_owned(), text };
    let files = [
        file("a.cedar", (0..number).map(|index| one(index, kind, "server0")).collect()),
        file("arguments.cedarschema", "type Arguments = { amount?: Long };".to_owned()),
    ];
    let names: Vec<String> = (0..SERVERS).map(|index| format!("server{index}")).collect();
    let known: Vec<KnownServer<'_>> = names.iter().map(|name| KnownServer { name, permits: false }).collect();
    let library = Library::read(&files, &known).map_err(|mistakes| format!("{mistakes:?}"))?;
    Ok(ServerRules {
        policies: library.concerning("server0"),
        ..ServerRules::new("server0", Access::Everyone)
    })
}

/// Asks for each of the people in turn; `then` is told who asks.
fn people(mut then: impl FnMut(Person<'_>, Around<'_>) -> Outcome<()>) -> Outcome<()> {
    let scope = Scope::parse("read write").map_err(|error| error.to_string())?;
    let groups: Vec<String> = ["staff", "dev", "g3"].map(str::to_owned).into();
    for number in 0..PEOPLE {
        let person = Person {
            user: Id::from_bytes([number; 16]),
            email: None,
            groups: &groups,
            service_account: None,
        };
        let (address, now) = ([192, 0, 2, 1].into(), Timestamp::from_secs(1_800_000_000));
        then(person, Around { address, client: "https://client.example", now, scope: &scope })?;
    }
    Ok(())
}

/// Microseconds of one decision.
fn decisions(rules: &ServerRules, kind: Kind, number: u32) -> Outcome<f64> {
    let call = McpCall {
        method: "tools/call".to_owned(),
        name: Some("search".to_owned()),
        kind: CallKind::Notification,
        version: None,
        modern: false,
    };
    let (arguments, read_only) = (Some(r#"{"text":"a few words to look for","amount":12}"#), ReadOnly::No);
    let each = number.div_ceil(u32::from(PEOPLE));
    // What is kept of a second is good for no other.
    let apart = match kind {
        Kind::Fresh => 1_000_000,
        Kind::Kept | Kind::Arguments => 1_000,
    };
    let begun = now();
    let mut micros = 0;
    people(|person, around| {
        for _ in 0..each {
            micros += apart;
            let now = Timestamp::from_micros(around.now.micros() + micros);
            let around = Around { now, ..around };
            let question =
                Question::MayCall { call: &call, arguments, person, read_only, around, server: rules };
            if !matches!(policy::decide(&question), Decision::Allow { .. }) {
                return Err("a call was refused".to_owned());
            }
        }
        Ok(())
    })?;
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(each.saturating_mul(u32::from(PEOPLE))))
}

/// Milliseconds of one list.
fn list(rules: &ServerRules) -> Outcome<f64> {
    let tools: Vec<String> = (0..TOOLS).map(|index| format!("tool-{index}")).collect();
    let begun = now();
    let mut seconds = 0;
    people(|person, around| {
        // Each person in a second of their own.
        seconds += 1;
        let around = Around { now: Timestamp::from_secs(around.now.secs() + seconds), ..around };
        for tool in &tools {
            let listed = Listed::Tool(tool, ReadOnly::No);
            let question = Question::MayList { listed, person, around, server: rules };
            if !matches!(policy::decide(&question), Decision::Allow { .. }) {
                return Err("a tool was hidden".to_owned());
            }
        }
        Ok(())
    })?;
    Ok(begun.elapsed().as_secs_f64() * 1e3 / f64::from(PEOPLE))
}

/// Microseconds of one question to Cedar with every policy.
fn all_of_them(number: usize, times: u32) -> Outcome<f64> {
    let text: String = (0..number).map(|index| one(index, Kind::Kept, "server0")).collect();
    let set: PolicySet = text.parse().map_err(|error| format!("{error}"))?;
    let entities = r#"[
        {"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": [
            {"type": "Group", "id": "staff"}, {"type": "Group", "id": "dev"}, {"type": "Group", "id": "g3"}]},
        {"uid": {"type": "Tool", "id": "server0/search"}, "attrs": {"name": "search"}, "parents": [
            {"type": "McpServer", "id": "server0"}]}]"#;
    let entities = Entities::from_json_str(entities, None).map_err(|error| error.to_string())?;
    let uid = |text: &str| text.parse().map_err(|error| format!("{error}"));
    let (who, what, to) =
        (uid("User::\"alice\"")?, uid("Action::\"call\"")?, uid("Tool::\"server0/search\"")?);
    let request = Request::new(who, what, to, Context::empty(), None).map_err(|error| error.to_string())?;
    let (times, authorizer, begun) = (times.max(1), Authorizer::new(), now());
    for _ in 0..times {
        let answer = authorizer.is_authorized(&request, &set, &entities);
        if answer.diagnostics().errors().next().is_some() {
            return Err("a policy failed".to_owned());
        }
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(times))
}

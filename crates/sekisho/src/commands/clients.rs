//! `sekisho clients`: which clients are in use, which wait for an administrator, and what was decided about them (product.md,
//! P-5 and P-7). Works on the record, beside a running Sekisho or without one; every node hears of it from the record.

mod asked;
pub(super) mod list;
mod show;

use std::process::ExitCode;
use std::time::Duration;

use authorization_server::{Blocked, ClientAdministration, HostPattern, Stopping, fingerprint_text};
use clap::{ArgGroup, Args, Subcommand};
use protocol::id::Reference;
use protocol::oauth::ClientId;
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{ListedClient, Store, WaitingRequest};

use super::docs::{print, when};

use super::{ConfigArgument, Failure};
use crate::config::Config;
use crate::wiring::{self, World};

const EXAMPLES: &str = "\
Examples:
  sekisho clients list --config sekisho.toml                        who is in use, and who waits
  sekisho clients show K7Q2-9XWD --config sekisho.toml              what is asked, and by whom
  sekisho clients approve K7Q2-9XWD --config sekisho.toml           this client, called back at that place
  sekisho clients approve --host client.example --config sekisho.toml
  sekisho clients approve --client agent --config sekisho.toml       it asked without a browser
  sekisho clients block --host client.example --reason phishing --config sekisho.toml
  sekisho clients unblock --host client.example --config sekisho.toml
  sekisho clients registration-token --uses 20 --for 7d --config sekisho.toml";

/// What to do with the clients.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ClientsArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the clients in use, merged by what they say of themselves, and who waits for an approval
    List(ListArguments),
    /// Show all that is known of a client, a waiting request or a fingerprint
    Show(ShowArguments),
    /// Let a client that waits ask people, or all clients of a host
    Approve(ApproveArguments),
    /// End all that a client has and keep it out, or all clients of a host or fingerprint
    Block(BlockArguments),
    /// Take a block away; from then on the policy of `[clients]` decides again
    Unblock(BlockArguments),
    /// Make an initial access token, by which clients register where `[clients]` says `registration = "token"`
    RegistrationToken(TokenArguments),
}

/// How to show them.
#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// One JSON document instead of a table
    #[arg(long)]
    json: bool,
}

/// What to show.
#[derive(Debug, Args)]
struct ShowArguments {
    /// A client id, the reference of somebody who waits, or a fingerprint
    what: String,
    #[command(flatten)]
    config: ConfigArgument,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What to approve.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).multiple(false)))]
struct ApproveArguments {
    /// The reference that the person reads out: that client, called back at that place
    #[arg(group = "target", value_parser = parse_reference)]
    reference: Option<Reference>,
    /// Every client that is called back at this host, or that it vouches for
    #[arg(long, group = "target", value_name = "HOST", value_parser = parse_host)]
    host: Option<String>,
    /// A client that asked without a browser: that client, at every place at which it may be called back
    #[arg(long, group = "target", value_name = "CLIENT_ID")]
    client: Option<String>,
    #[command(flatten)]
    config: ConfigArgument,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What to block, or not any more.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).multiple(false)))]
struct BlockArguments {
    /// A client id, or the reference of somebody who waits for the client
    #[arg(group = "target", value_name = "CLIENT_ID|REFERENCE")]
    client: Option<String>,
    /// Every client that may be called back at this host, or that it vouches for
    #[arg(long, group = "target", value_name = "HOST", value_parser = parse_host)]
    host: Option<String>,
    /// Every client of these metadata, as `list` shows it; a client that says something else is another
    #[arg(long, group = "target", value_name = "FINGERPRINT")]
    fingerprint: Option<String>,
    #[command(flatten)]
    config: ConfigArgument,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What a token is good for.
#[derive(Debug, Args)]
struct TokenArguments {
    /// How many clients may register by it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    uses: u32,
    /// For how long: at most 90d
    #[arg(long = "for", default_value = "1d", value_name = "10m|2h|7d", value_parser = parse_life)]
    life: Duration,
    #[command(flatten)]
    config: ConfigArgument,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

fn parse_reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|_| "a reference looks like K7Q2-9XWD".to_owned())
}

fn parse_host(text: &str) -> Result<String, String> {
    let one = !text.starts_with("*.") && HostPattern::parse(text).is_ok();
    if one { Ok(text.to_owned()) } else { Err("a host looks like client.example, in lower case".to_owned()) }
}

fn parse_life(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(90 * 24 * 60 * 60);
    crate::config::parse_duration(text)
        .filter(|life| (Duration::from_secs(1)..=LONGEST).contains(life))
        .ok_or_else(|| "a time looks like 10m, 2h or 7d, and is at most 90d".to_owned())
}

/// The record, and what is needed to change it.
struct Desk {
    config: Config,
    store: std::sync::Arc<dyn Store>,
    world: World,
}

impl Desk {
    async fn open(config: &ConfigArgument) -> Result<Self, Failure> {
        let config = wiring::load_to_tend(&config.config)?;
        let store = wiring::open_existing_store(&config).await?;
        let world = World::of_record(store.as_ref()).await?;
        Ok(Self { config, store, world })
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    fn administration(&self) -> ClientAdministration<'_> {
        let World { clock, entropy } = &self.world;
        let issuer = &self.config.house.public_url;
        let store = self.store.as_ref();
        ClientAdministration(Stopping { clock: clock.as_ref(), entropy: entropy.as_ref(), issuer, store })
    }

    async fn clients(&self) -> Result<Vec<ListedClient>, Failure> {
        Ok(self.store.list_clients(self.now()).await?)
    }

    async fn waiting(&self) -> Result<Vec<WaitingRequest>, Failure> {
        Ok(self.store.list_client_requests(self.now()).await?)
    }

    async fn waiting_by(&self, reference: &Reference) -> Result<WaitingRequest, Failure> {
        let all = self.waiting().await?;
        all.into_iter().find(|waiting| waiting.request.reference == *reference).ok_or_else(|| {
            Failure::Arguments(format!(
                "nobody waits under {reference} any more; `sekisho clients list` shows who does"
            ))
        })
    }

    /// The one fingerprint that begins so, of those that are known here.
    async fn fingerprint(&self, text: &str) -> Result<Hash, Failure> {
        let clients = self.clients().await?.into_iter().map(|listed| listed.client.fingerprint);
        let waiting = self.waiting().await?.into_iter().map(|waiting| waiting.request.fingerprint);
        let blocked = self.store.list_client_rules().await?.into_iter().filter_map(|(rule, _)| match rule {
            store::ClientRule::BlockFingerprint(hash) => Some(hash),
            store::ClientRule::AllowClient { .. }
            | store::ClientRule::AllowHost(_)
            | store::ClientRule::BlockHost(_) => None,
        });
        let mut all: Vec<Hash> = clients
            .chain(waiting)
            .chain(blocked)
            .filter(|hash| fingerprint_text(hash) == text.to_ascii_lowercase())
            .collect();
        all.sort_unstable_by_key(|hash| *hash.as_bytes());
        all.dedup();
        match all.as_slice() {
            [one] => Ok(*one),
            [] | [_, ..] => Err(Failure::Arguments(format!(
                "`{text}` is the fingerprint of no client that is in use here or waits; `sekisho clients list` shows them"
            ))),
        }
    }

    async fn blocked(&self, arguments: &BlockArguments) -> Result<Blocked, Failure> {
        if let Some(host) = &arguments.host {
            return Ok(Blocked::Host(host.clone()));
        }
        if let Some(fingerprint) = &arguments.fingerprint {
            return Ok(Blocked::Fingerprint(self.fingerprint(fingerprint).await?));
        }
        let text = arguments.client.as_deref().unwrap_or_default();
        if let Ok(reference) = text.parse::<Reference>()
            && let Ok(waiting) = self.waiting_by(&reference).await
        {
            return Ok(Blocked::Client(waiting.request.client_id));
        }
        let wrong =
            |error| Failure::Arguments(format!("that is neither a client id nor a reference: {error}"));
        ClientId::parse(text).map(Blocked::Client).map_err(wrong)
    }
}

pub(super) fn run(arguments: &ClientsArguments) -> Result<ExitCode, Failure> {
    print(&wiring::runtime()?.block_on(act(&arguments.action))?)?;
    Ok(ExitCode::SUCCESS)
}

async fn act(action: &Action) -> Result<String, Failure> {
    match action {
        Action::List(arguments) => {
            let desk = Desk::open(&arguments.config).await?;
            list::shown(&desk, arguments.json).await
        }
        Action::Show(arguments) => {
            let desk = Desk::open(&arguments.config).await?;
            show::shown(&desk, &arguments.what, arguments.json).await
        }
        Action::Approve(arguments) => approve(arguments).await,
        Action::Block(arguments) => block(arguments).await,
        Action::Unblock(arguments) => unblock(arguments).await,
        Action::RegistrationToken(arguments) => token(arguments).await,
    }
}

async fn approve(arguments: &ApproveArguments) -> Result<String, Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let (administration, why) = (desk.administration(), arguments.reason.as_deref());
    if let Some(host) = &arguments.host {
        is_not_blocked(&desk, host).await?;
        let new = administration.approve_host(host, why).await?;
        return Ok(said(
            new,
            &format!("Approved every client that is called back at {host}, or that it vouches for."),
        ));
    }
    if let Some(client) = &arguments.client {
        return approve_asked(&desk, client, why).await;
    }
    let Some(reference) = &arguments.reference else { return Ok(String::new()) };
    let waiting = desk.waiting_by(reference).await?.request;
    let (id, place) = (&waiting.client_id, waiting.destination.as_str());
    let new = administration.approve_client(id, place, why).await?;
    let mut text =
        said(new, &format!("Approved the client {} for {place}, and for nowhere else.", id.as_str()));
    text.push_str("Who waits presses \"Try again\" on the page.\n");
    if place.contains('.') {
        text.push_str(&format!(
            "It registered itself: another registration asks again. To let in every client of that host: sekisho clients approve --host {place}\n"
        ));
    }
    Ok(text)
}

/// Approves a client that nobody waits for on a page.
async fn approve_asked(desk: &Desk, client: &str, why: Option<&str>) -> Result<String, Failure> {
    let all = asked::asked(desk).await?;
    let asked = all.into_iter().find(|asked| asked.client_id.as_str() == client).ok_or_else(|| {
        Failure::Arguments(
            "no such client asked without a browser lately and needs an approval; `sekisho clients list` shows those that did"
                .to_owned(),
        )
    })?;
    for place in &asked.places {
        desk.administration().approve_client(&asked.client_id, place, why).await?;
    }
    let places = asked.places.join(", ");
    Ok(format!(
        "Approved the client {client}, called back at {places}. The same request is served from now on.\n"
    ))
}

async fn is_not_blocked(desk: &Desk, host: &str) -> Result<(), Failure> {
    let rules = desk.store.list_client_rules().await?;
    let block = store::ClientRule::BlockHost(host.to_owned());
    if rules.iter().any(|(rule, _)| *rule == block) {
        return Err(Failure::Arguments(format!(
            "{host} is blocked; `sekisho clients unblock --host {host}` comes first"
        )));
    }
    Ok(())
}

fn said(new: bool, done: &str) -> String {
    if new { format!("{done}\n") } else { "Nothing to do: that was approved before.\n".to_owned() }
}

async fn block(arguments: &BlockArguments) -> Result<String, Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let blocked = desk.blocked(arguments).await?;
    let counts = desk.administration().block(&blocked, arguments.reason.as_deref()).await?;
    let before = if counts.new { "" } else { " It was blocked before." };
    Ok(format!(
        "Blocked {}.{before}\nEnded {} grants and {} codes of {} clients. Within 5 seconds every node refuses their access tokens.\n\
         `sekisho clients unblock` takes it back; what was ended stays ended.\n",
        named(&blocked),
        counts.ended.grants,
        counts.ended.codes,
        counts.clients
    ))
}

async fn unblock(arguments: &BlockArguments) -> Result<String, Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let blocked = desk.blocked(arguments).await?;
    Ok(if desk.administration().unblock(&blocked, arguments.reason.as_deref()).await? {
        format!(
            "Took the block of {} away. [clients] and earlier approvals of others decide again.\n",
            named(&blocked)
        )
    } else {
        format!("Nothing to do: {} was not blocked.\n", named(&blocked))
    })
}

fn named(blocked: &Blocked) -> String {
    match blocked {
        Blocked::Client(id) => format!("the client {}", id.as_str()),
        Blocked::Fingerprint(hash) => format!("all clients of the fingerprint {}", fingerprint_text(hash)),
        Blocked::Host(host) => format!("all clients of the host {host}"),
    }
}

async fn token(arguments: &TokenArguments) -> Result<String, Failure> {
    let desk = Desk::open(&arguments.config).await?;
    let (administration, why) = (desk.administration(), arguments.reason.as_deref());
    let (token, until) = administration.registration_token(arguments.uses, arguments.life, why).await?;
    let token = token.reveal();
    Ok(format!(
        "{token}\n\nGood for {} registrations until {} UTC, as `Authorization: Bearer`. It is shown this once.\n",
        arguments.uses,
        when(until)
    ))
}

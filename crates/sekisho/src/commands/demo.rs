//! `sekisho demo`: everything on this machine, with example people and two example MCP servers.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use protocol::keys::MasterKey;
use tokio::net::TcpListener;

use super::Failure;
use crate::config::Config;
use crate::demo::{CallerReader, ExampleServers};
use crate::telemetry;
use crate::wiring::{self, World, listeners, private_file};

/// How the demo knows its own configuration from somebody else's, which it must not write over.
const WRITTEN_BY: &str = "# Written by `sekisho demo`";

/// The schema beside the configuration, with which an editor knows the settings.
const SCHEMA: &str = "sekisho.schema.json";

/// How the demo is started.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// The port on the loopback interface; 0 for any that is free
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// The folder for the store, the master key and the configuration
    #[arg(long, default_value = "sekisho-demo", value_name = "FOLDER")]
    pub data: PathBuf,
}

pub(super) fn run(arguments: &DemoArguments) -> Result<ExitCode, Failure> {
    let _log = telemetry::install("warn");
    telemetry::log_panics();
    telemetry::leave_no_core();
    wiring::runtime()?.block_on(demo(arguments))
}

async fn demo(arguments: &DemoArguments) -> Result<ExitCode, Failure> {
    let world = World::real();
    let listeners = bind(arguments.port).await?;
    let examples =
        ExampleServers::bind().await.map_err(Failure::io("cannot listen for the example MCP servers"))?;
    prepare_folder(&arguments.data, &world)?;
    let text = configuration(&listeners, &examples)?;
    let file = arguments.data.join("sekisho.toml");
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(Failure::io(format!("cannot write `{}`", path.display())))
    };
    write(&arguments.data.join(SCHEMA), &crate::config::schema::json())?;
    write(&file, &text)?;
    let config = Config::parse(&text, &file)?;
    let running = wiring::start(&config, world.clone(), listeners)
        .await
        .map_err(|failure| other_folder(failure, arguments))?;
    let caller = CallerReader {
        keys: Arc::clone(running.keys()),
        issuer: config.house.public_url.clone(),
        audience: String::new(),
        clock: Arc::clone(&world.clock),
    };
    crate::demo::start(examples, &caller, running.tasks(), running.stop());
    super::docs::print(&greeting(&config, &file))?;
    running.until(wiring::signals::stop_requested()).await;
    Ok(ExitCode::SUCCESS)
}

/// A demo that was started on another port keeps other audiences; say what to do about it.
fn other_folder(failure: Failure, arguments: &DemoArguments) -> Failure {
    if !matches!(failure, Failure::Keys(_)) {
        return failure;
    }
    Failure::Arguments(format!(
        "{failure}\n\n`{}` belongs to an earlier demo; delete it, or name another folder with --data",
        arguments.data.display()
    ))
}

/// 127.0.0.1 and `[::1]` on the same port; a machine without IPv6 has the first only.
async fn bind(port: u16) -> Result<Vec<TcpListener>, Failure> {
    let four = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(|why| {
        if why.kind() == std::io::ErrorKind::AddrInUse {
            return Failure::Arguments(format!(
                "port {port} is in use; choose another with --port, or any with --port 0"
            ));
        }
        Failure::Io { what: format!("cannot listen on 127.0.0.1:{port}"), why }
    })?;
    let port = listeners::port(&four)?;
    let six = SocketAddr::from((IpAddr::V6(Ipv6Addr::LOCALHOST), port));
    match TcpListener::bind(six).await {
        Ok(six) => Ok(vec![four, six]),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(Failure::Arguments(format!("port {port} is in use on [::1]; choose another with --port")))
        }
        Err(_) => Ok(vec![four]),
    }
}

/// Whether a configuration is one that the demo wrote.
fn is_ours(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().take(2).any(|line| line.starts_with(WRITTEN_BY))
}

/// Makes the folder, and a master key if there is neither a key nor a store: a new key over an old store
/// would make everything in it unreadable.
fn prepare_folder(folder: &Path, world: &World) -> Result<(), Failure> {
    let file = folder.join("sekisho.toml");
    if file.exists() && !is_ours(&file) {
        return Err(Failure::Arguments(format!(
            "`{}` was not written by the demo and would be lost; name another folder with --data",
            file.display()
        )));
    }
    private_file::create_folder(folder)?;
    let (key, store) = (folder.join("master.key"), folder.join("sekisho.db"));
    match (key.exists(), store.exists()) {
        (true, _) => Ok(()),
        (false, false) => {
            let (_, text) = MasterKey::generate(world.entropy.as_ref());
            private_file::create(&key, &text)
        }
        (false, true) => Err(Failure::Arguments(format!(
            "`{}` has no master key, and its store cannot be read without one; delete the folder to start anew",
            folder.display()
        ))),
    }
}

fn configuration(listeners: &[TcpListener], examples: &ExampleServers) -> Result<String, Failure> {
    let addresses =
        listeners.iter().map(|listener| listener.local_addr().map(|address| format!("\"{address}\"")));
    let addresses =
        addresses.collect::<Result<Vec<_>, _>>().map_err(Failure::io("cannot read an address"))?;
    let port = listeners.first().map(listeners::port).transpose()?.unwrap_or_default();
    Ok(format!(
        r#"#:schema ./{SCHEMA}
{WRITTEN_BY} at each start, because the example MCP servers get other ports.
public_url = "http://localhost:{port}"
listen = [{addresses}]
master_key_file = "master.key"
default_server = "notes"

[store]
sqlite = "sekisho.db"

[clients]
outside = "allow"

[[identity_provider]]
id = "development"
kind = "development"
title = "Example people"

[[mcp_server]]
name = "notes"
title = "Notes"
url = "{notes}"
access = "everyone who may log in"
read = "read the notes on the board"
write = "put notes on the board"

[[mcp_server]]
name = "ledger"
title = "Ledger"
url = "{ledger}"
access = ["group:finance"]
read = "see the entries and the balance"
write = "book entries"
"#,
        addresses = addresses.join(", "),
        notes = examples.notes.url,
        ledger = examples.ledger.url,
    ))
}

fn greeting(config: &Config, file: &Path) -> String {
    let base = &config.house.public_url;
    let notes = format!("{base}/notes/mcp");
    let mut text = format!("Sekisho is running at {base}\n\nMCP servers: paste a URL into any MCP client\n");
    // Writing to a String cannot fail.
    for server in &config.mcp_servers {
        let name = &server.settings.name;
        let who = if name == "ledger" { "the group finance" } else { "everybody" };
        let _ = writeln!(text, "  {base}/{name}/mcp   {}, for {who}", server.title());
    }
    let _ = write!(
        text,
        r#"
People: alice and bob (engineering), chika (finance), dario (both). There are no passwords.

Claude Code    claude mcp add --transport http notes {notes}
VS Code        code --add-mcp '{{"name":"notes","type":"http","url":"{notes}"}}'
Cursor         in ~/.cursor/mcp.json: {{"mcpServers":{{"notes":{{"url":"{notes}"}}}}}}
MCP Inspector  npx @modelcontextprotocol/inspector --transport http --server-url {notes}

Pages          {base}/
Who did what   sekisho audit --config {file}

Ctrl-C stops it.
"#,
        file = file.display()
    );
    text
}

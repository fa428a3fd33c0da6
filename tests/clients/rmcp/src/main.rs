//! The Rust SDK's client, headless: discovers, registers, lets a browser consent, calls one tool.
//!
//! `BROWSER=… client-rmcp <mcp-url> <2025-11-25|2026-07-28|handshake> [tool] [arguments as JSON]`
//!
//! With `CLIENT_METADATA_URL` it is known by that document in place of registering; with `CLIENT_ID` it needs no browser
//! (`machine`).
//!
//! Prints one line of JSON with what it saw; the exit code says whether it worked. `handshake` is what the SDK does when
//! nothing is chosen: `initialize`, offering 2026-07-28, which a gateway that tells the eras apart by version alone
//! misroutes.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program of the tests: it reads BROWSER and speaks on stdout"
)]

mod callback;
mod machine;

use std::error::Error;
use std::process::{Command, Stdio};

use rmcp::model::{CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, ProtocolVersion};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationManager, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::{StreamableHttpClient, StreamableHttpClientTransportConfig};
use rmcp::{ClientLifecycleMode, ClientServiceExt};
use serde_json::{Value, json};

use crate::callback::Callback;

/// The program's own failures are sentences; the SDK's are passed on.
type Failure = Box<dyn Error + Send + Sync>;

/// What the command line asks for.
struct Asked {
    url: String,
    revision: String,
    tool: Option<String>,
    arguments: Option<serde_json::Map<String, Value>>,
}

impl Asked {
    fn parse() -> Result<Self, Failure> {
        let mut given = std::env::args().skip(1);
        let url = given.next().ok_or("the URL of the MCP server is missing")?;
        let revision = given.next().ok_or("the protocol revision is missing")?;
        let tool = given.next();
        let arguments = given.next().map(|text| serde_json::from_str(&text)).transpose()?;
        Ok(Self { url, revision, tool, arguments })
    }

    /// How the SDK is told which era to speak.
    fn lifecycle(&self) -> Result<(ClientLifecycleMode, ProtocolVersion), Failure> {
        match self.revision.as_str() {
            "2025-11-25" => Ok((ClientLifecycleMode::Initialize, ProtocolVersion::V_2025_11_25)),
            "2026-07-28" => Ok((
                ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
                ProtocolVersion::V_2026_07_28,
            )),
            "handshake" => Ok((ClientLifecycleMode::Initialize, ProtocolVersion::V_2026_07_28)),
            other => Err(format!("unknown revision `{other}`").into()),
        }
    }
}

/// What came of authorization.
struct Authorized {
    manager: AuthorizationManager,
    client_id: String,
    scope: Option<String>,
    refresh_token: bool,
}

/// What is told of the client, however it was authorized.
struct Told {
    client_id: String,
    scope: Option<String>,
    refresh_token: bool,
    authorizations: u32,
}

/// Discovery, registration, the browser, the code exchange.
async fn authorize(asked: &Asked) -> Result<Authorized, Failure> {
    let callback = Callback::listen().await?;
    let mut state = OAuthState::new(&asked.url, None).await?;
    let mut request = AuthorizationRequest::new(callback.redirect_uri())
        .with_client_name(format!("Rust SDK {}", asked.revision));
    if let Ok(document) = std::env::var("CLIENT_METADATA_URL") {
        request = request.with_client_metadata_url(document);
    }
    state.start_authorization(request).await?;
    open_browser(&state.get_authorization_url().await?)?;
    let response = callback.wait().await?;
    state.handle_callback_url(&response).await?;
    let (client_id, tokens) = state.get_credentials().await?;
    let tokens = serde_json::to_value(tokens)?;
    Ok(Authorized {
        manager: state.into_authorization_manager().ok_or("the SDK is not authorized")?,
        client_id,
        scope: tokens["scope"].as_str().map(str::to_owned),
        refresh_token: tokens["refresh_token"].is_string(),
    })
}

fn open_browser(url: &str) -> Result<(), Failure> {
    let browser = std::env::var("BROWSER").map_err(|_| "BROWSER is not set")?;
    Command::new(browser).arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let asked = Asked::parse()?;
    let to = StreamableHttpClientTransportConfig::with_uri(asked.url.as_str());
    if machine::is_asked_for() {
        let machine = machine::authorize(&asked.url).await?;
        let transport = StreamableHttpClientTransport::from_config(to.auth_header(machine.access_token));
        let told = Told {
            client_id: machine.client_id,
            scope: machine.scope,
            refresh_token: machine.refresh_token,
            authorizations: 0,
        };
        return call(asked, transport, told).await;
    }
    let authorized = authorize(&asked).await?;
    let http = AuthClient::new(reqwest::Client::new(), authorized.manager);
    let told = Told {
        client_id: authorized.client_id,
        scope: authorized.scope,
        refresh_token: authorized.refresh_token,
        authorizations: 1,
    };
    call(asked, StreamableHttpClientTransport::with_client(http, to), told).await
}

/// Lists the tools, calls one, and says what it saw.
async fn call<C: StreamableHttpClient>(
    asked: Asked,
    transport: StreamableHttpClientTransport<C>,
    told: Told,
) -> Result<(), Failure> {
    let (lifecycle, version) = asked.lifecycle()?;
    let mut info = ClientConfig::new(
        ClientCapabilities::default(),
        Implementation::new("client-rmcp", env!("CARGO_PKG_VERSION")),
    );
    info.protocol_version = version;
    let client = info.serve_with_lifecycle(transport, lifecycle).await?;

    let tools = client.list_all_tools().await?;
    let names: Vec<String> = tools.iter().map(|tool| tool.name.to_string()).collect();
    let tool = asked.tool.or_else(|| names.first().cloned()).ok_or("the server has no tool")?;
    let mut call = CallToolRequestParams::new(tool.clone());
    if let Some(arguments) = asked.arguments {
        call = call.with_arguments(arguments);
    }
    let result = client.call_tool(call).await?;
    let texts: Vec<&str> =
        result.content.iter().filter_map(|part| part.as_text()).map(|part| part.text.as_str()).collect();
    let negotiated = client.peer_info().map(|server| server.protocol_version.to_string());
    println!(
        "{}",
        json!({
            "sdk": "rmcp",
            "protocolVersion": negotiated,
            "clientId": told.client_id,
            "scope": told.scope,
            "refreshToken": told.refresh_token,
            "authorizations": told.authorizations,
            "tools": names,
            "tool": tool,
            "isError": result.is_error.unwrap_or(false),
            "text": texts.join("\n"),
        })
    );
    client.cancel().await?;
    Ok(())
}

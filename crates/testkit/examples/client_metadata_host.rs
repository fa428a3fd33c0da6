//! A host of one client ID metadata document, over TLS with an authority of its own: for the conformance suite and the real
//! clients.
//!
//! `client_metadata_host FILE` writes the certificate of the authority into FILE, prints `serving <url>`, and serves until it
//! is ended.

#![expect(clippy::print_stdout, reason = "a program of the tests: it says where it listens")]

use std::io::Write as _;

use serde_json::json;
use testkit::document_host::{self, DocumentHost};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let file = std::env::args().nth(1).ok_or("usage: client_metadata_host FILE")?;
    let host = DocumentHost::start().await?;
    std::fs::write(file, host.authority())?;
    let url = host.url_at("localhost", "/client.json");
    let document = json!({
        "client_id": url,
        "client_name": "A client with a document",
        "redirect_uris": ["http://127.0.0.1/callback", "http://localhost/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    });
    host.says("/client.json", &[document_host::json(&document)]);
    println!("serving {url}");
    std::io::stdout().flush()?;
    std::future::pending().await
}

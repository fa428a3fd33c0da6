//! The metadata document of a client, asked for by everybody at once: how often its host is asked is what counts.

use testkit::client::{Pkce, TestClient};
use testkit::document_host::{self, DocumentHost};
use tokio::task::JoinSet;

use crate::Outcome;
use crate::product::{Product, SERVER, Setup};
use crate::table::Table;

/// First requests at once.
const AT_ONCE: usize = 1000;

/// Asks for one new client a thousand times at once.
pub(crate) async fn measure(table: &mut Table) -> Outcome<()> {
    let host = DocumentHost::start().await?;
    let url = host.url_at("localhost", "/client.json");
    let callback = "http://127.0.0.1/callback";
    host.says(
        "/client.json",
        &[document_host::json(&serde_json::json!({
            "client_id": url, "client_name": "Bench", "redirect_uris": [callback],
        }))],
    );
    let folder = tempfile::TempDir::new().map_err(|error| error.to_string())?;
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, host.authority()).map_err(|error| error.to_string())?;
    let named = url.trim_start_matches("https://").trim_end_matches("/client.json");
    let mut setup = Setup::new("http://127.0.0.1:9/mcp");
    setup.more = format!(
        "[client_id_metadata_documents]\nca_file = \"{}\"\nprivate_hosts = [\"{named}\"]\n",
        authority.display()
    );
    let product = Product::start(&setup).await?;
    let client = TestClient {
        http: product.http.clone(),
        issuer: product.peer.url.clone(),
        client_id: url,
        secret: None,
        redirect_uri: callback.to_owned(),
    };
    let resource = format!("{}/{SERVER}/mcp", product.peer.url);
    let asked =
        client.authorization_url(&client.authorization_request(&resource, &Pkce::new("bench").challenge));
    let mut running = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (http, asked) = (product.http.clone(), asked.clone());
        running
            .spawn(async move { http.get(&asked, &[]).await.is_ok_and(|answer| answer.status.is_success()) });
    }
    let good = running.join_all().await.into_iter().filter(|good| *good).count();
    let measured = format!("{} (of {good} that came through)", host.connections());
    table.row("Fetches of a metadata document for 1,000 first requests at once", &measured, "1");
    Ok(())
}

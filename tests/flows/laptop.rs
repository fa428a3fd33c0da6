//! A new laptop: a client that is given thirty MCP servers at once. One sign-in, and at most two windows in which there is
//! something to do (product.md, P-9).

use policy::Access;
use store::AuditKind;
use testkit::browser::{Browser, Page, Place};
use testkit::client::{Pkce, TestClient, log_in, parameter};
use testkit::house::{House, Plan};
use testkit::outcomes::Verdict;
use url::Url;

const MOST_WINDOWS: u32 = 2;

async fn thirty() -> Result<(House, Vec<&'static str>), String> {
    let names: Vec<&'static str> = (1..=30).map(|number| &*format!("server-{number}").leak()).collect();
    let servers = names.iter().map(|name| (*name, Access::Everyone)).collect();
    Ok((House::with(Plan { servers, ..Plan::default() }).await?, names))
}

fn url(house: &House, client: &TestClient, server: &str) -> String {
    let challenge = Pkce::new(server).challenge;
    client.authorization_url(&client.authorization_request(&house.resource(server), &challenge))
}

/// Signs in and allows everything that the page offers: what is done in one window.
async fn act(browser: &mut Browser, page: Page) -> Result<Url, String> {
    let page = log_in(browser, page, "alice").await?;
    let mut form = page.form()?;
    form.fields.push(("further".to_owned(), "*".to_owned()));
    browser.submit(&page, form, Some(("decision", "allow"))).await?.left()
}

/// The client has its token, and it is one for this MCP server.
async fn connected(house: &House, client: &TestClient, server: &str, callback: &Url) -> Verdict {
    let code = parameter(callback, "code").ok_or_else(|| format!("no code: {callback}"))?;
    let tokens = client.redeem(&code, &Pkce::new(server).verifier).await?.json();
    let token = tokens["access_token"].as_str().ok_or("no token")?;
    let answer = house.echo(server, token).await?;
    assert_eq!(answer.status, 200, "{server}: {}", answer.text());
    Ok(())
}

async fn one_sign_in(house: House, windows: u32) -> Verdict {
    assert!((1..=MOST_WINDOWS).contains(&windows), "{windows} windows in which there was something to do");
    assert_eq!(house.audit(AuditKind::SignIn).await?.len(), 1);
    assert_eq!(house.counts().await?.grants, 30, "one grant each");
    house.close().await?;
    Ok(())
}

#[tokio::test]
async fn thirty_mcp_servers_one_after_the_other_are_one_sign_in_and_one_page_to_act_on() -> Verdict {
    let (house, names) = thirty().await?;
    let (client, mut browser, mut windows) = (house.client().await?, house.browser(), 0);
    for server in names {
        let callback = match browser.open(&url(&house, &client, server)).await? {
            Place::Left(callback) => callback,
            Place::Page(page) => {
                windows += 1;
                act(&mut browser, page).await?
            }
        };
        connected(&house, &client, server, &callback).await?;
    }
    one_sign_in(house, windows).await
}

#[tokio::test]
async fn thirty_windows_that_are_open_at_once_are_one_sign_in_and_one_page_to_act_on() -> Verdict {
    let (house, names) = thirty().await?;
    let (client, mut browser, mut windows) = (house.client().await?, house.browser(), 0);
    let mut open = Vec::new();
    for server in names {
        open.push((server, browser.open(&url(&house, &client, server)).await?.page()?));
    }
    for (server, page) in open {
        // What its script does when the window is looked at.
        let text = page.answer.text();
        let go_on = text.split("data-go-on=\"").nth(1).and_then(|rest| rest.split('"').next());
        let go_on = go_on.ok_or("the page does not go on by itself")?;
        let callback = match browser.open(&format!("{}{go_on}", house.issuer)).await? {
            Place::Left(callback) => callback,
            Place::Page(page) => {
                windows += 1;
                act(&mut browser, page).await?
            }
        };
        connected(&house, &client, server, &callback).await?;
    }
    one_sign_in(house, windows).await
}

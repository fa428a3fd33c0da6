//! Which texts are the URL of a document, and where such a URL may lead: nothing else is dialled.

use std::time::Duration;

use authorization_server::{
    Blocked, ClientAdministration, DocumentRules, HostPattern, Named, Standing, Stopping, UnknownHosts,
};
use protocol::oauth::ClientId;
use testkit::client::Pkce;
use testkit::document_host::json;
use testkit::house::Plan;
use testkit::outcomes::{page400, tok401};
use testkit::world::TestEntropy;

use super::Cimd;
use crate::attacks::scene::right;

/// AS-047.
#[tokio::test]
async fn cm_01_a_client_id_url_is_https_and_has_a_path() {
    let scene = Cimd::new().await;
    let at = scene.host.url("").trim_start_matches("https://").to_owned();
    for id in [
        format!("http://{at}/c"),
        format!("ftp://{at}/c"),
        format!("https:{at}/c"),
        format!("https:/{at}/c"),
        "https:///c".to_owned(),
        format!("HTTPS://{at}"),
        format!("HTTPS://{at}/c"),
        format!("https://{at}"),
        format!("https://{at}?c"),
        "https://".to_owned(),
    ] {
        scene.refused(&id).await;
    }
    assert_eq!(scene.host.connections(), 0);
    scene.close().await;
}

/// AS-048.
#[tokio::test]
async fn cm_02_a_client_id_url_is_judged_as_it_came() {
    let scene = Cimd::new().await;
    let at = scene.host.url("").trim_start_matches("https://").to_owned();
    for tail in [
        "/c#",
        "/c#x",
        "/#",
        "/./c",
        "/../c",
        "/a/../c",
        "/%2e%2e/c",
        "/.%2e/c",
        "/%2E/c",
        "\\c",
        "/\\c",
        "/c ",
        "/c\t",
        "/c\n",
        "/c\0",
        "/c\u{85}",
        "/c%00",
        "/c%0a",
        "?/c",
        "/c%",
        "/c%g1",
    ] {
        scene.refused(&format!("https://{at}{tail}")).await;
    }
    for head in [
        "https://@",
        "https://:@",
        "https://user@",
        "https://user:word@",
        " https://",
        "https:// ",
        "\thttps://",
    ] {
        scene.refused(&format!("{head}{at}/c")).await;
    }
    assert_eq!(scene.host.connections(), 0);
    scene.close().await;
}

#[tokio::test]
async fn cm_04_an_address_is_judged_by_what_it_carries() {
    let scene = Cimd::new().await;
    for address in [
        "::ffff:a00:1",
        "::ffff:0:a9fe:a9fe",
        "::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "2606:4700::5efe:c0a8:101",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "fd00:ec2::254",
        "ff02::1",
    ] {
        scene.refused(&format!("https://[{address}]/c")).await;
        scene.host.leads("six.example", &[&[address]]);
        scene.refused("https://six.example/c").await;
    }
    assert_eq!(scene.host.connections(), 0);
    let refused = scene.log.lines_with(&["strangers may not name"]);
    assert!(refused.len() >= 14, "each by its address: {refused:#?}");
    scene.close().await;
}

#[tokio::test]
async fn cm_05_this_machine_has_no_other_names() {
    let scene = Cimd::new().await;
    for name in ["localhost", "a.localhost", "127.0.0.1", "127.0.0.2", "10.0.0.1", "169.254.169.254"] {
        scene.host.leads(name, &[&["127.0.0.1"]]);
        scene.refused(&format!("https://{name}/c")).await;
    }
    for spelling in [
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "localhost.",
        "0x7f000001",
        "127.0.0.1%00",
        "\u{ff11}27.0.0.1",
        "\u{2460}\u{2461}\u{2466}.0.0.1",
        "%31%32%37.0.0.1",
        "[::1%25lo]",
        "[0:0:0:0:0:0:0:1]",
    ] {
        scene.refused(&format!("https://{spelling}/c")).await;
    }
    assert_eq!(scene.host.connections(), 0);
    scene.close().await;
}

/// AS-064.
#[tokio::test]
async fn cm_06_a_name_leads_to_the_internet_with_all_its_addresses_and_each_time() {
    let scene = Cimd::new().await;
    for addresses in [
        ["127.0.0.1"].as_slice(),
        &["10.0.0.1"],
        &["8.8.8.8", "10.0.0.1"],
        &["8.8.8.8", "fd00::1"],
        &["8.8.8.8", "::1"],
        &["169.254.169.254"],
    ] {
        scene.host.leads("rebind.example", &[addresses]);
        scene.refused("https://rebind.example/c").await;
    }
    assert_eq!(scene.host.connections(), 0);
    // One that is allowed inside is judged each time it is dialled, and no connection of before is used.
    let document = scene.document("/moves");
    let mut each_time = document.clone();
    each_time["client_id"] = scene.host.url("/moves").into();
    scene.host.says(
        "/moves",
        &[testkit::document_host::answer(
            200,
            "content-type: application/json\r\ncache-control: no-store\r\n",
            &each_time.to_string(),
        )],
    );
    scene.host.leads("client.example", &[&["127.0.0.1"], &["169.254.169.254"]]);
    assert!(scene.is_known(&scene.host.url("/moves")).await);
    scene.refused(&scene.host.url("/moves")).await;
    assert_eq!(scene.host.connections(), 1);
    scene.close().await;
}

/// CM-26: what is behind our walls is told to nobody: blocked, closed, silent and wrong look the same.
#[tokio::test]
async fn cm_26_no_refusal_tells_what_is_there() {
    let scene = Cimd::new().await;
    scene.host.says("/wrong", &[json(&serde_json::json!({}))]);
    scene.host.leads("inside.example", &[&["10.0.0.1"]]);
    scene.host.leads("here.example", &[&["127.0.0.1"]]);
    let mut heard = Vec::new();
    for id in [
        "https://inside.example/c".to_owned(),
        "https://here.example/c".to_owned(),
        "https://nowhere.example/c".to_owned(),
        "https://[::1]/c".to_owned(),
        "https://client.example:22/c".to_owned(),
        scene.host.url("/wrong"),
        scene.host.url("/none"),
        scene.host.url_at("unknown.example", "/c"),
    ] {
        let said = scene.refused(&id).await.text();
        // The reference is another one each time.
        let (page, _) = said.rsplit_once("<footer").unwrap();
        heard.push((id, page.to_owned()));
    }
    for (id, body) in &heard {
        assert_eq!(*body, heard[0].1, "{id} sounds other");
    }
    scene.close().await;
}

#[tokio::test]
async fn cm_28_another_port_is_dialled_for_nobody() {
    let scene = Cimd::new().await;
    let port = scene.host.url("").rsplit(':').next().unwrap().to_owned();
    for id in ["https://client.example:22/x", "https://client.example:80/x", "https://client.example:8443/x"]
    {
        scene.refused(id).await;
    }
    // A port that is named for one host is named for no other.
    scene.host.leads("victim.example", &[&["127.0.0.1"]]);
    scene.refused(&format!("https://victim.example:{port}/x")).await;
    assert_eq!(scene.host.connections(), 0);
    scene.close().await;
}

/// AS-070, AS-074.
#[tokio::test]
async fn cm_29_a_host_that_is_not_wanted_is_not_asked_and_the_metadata_says_so() {
    let nothing = DocumentRules { unknown_hosts: UnknownHosts::Refuse, ..DocumentRules::default() };
    let scene = Cimd::with(|plan| plan.document_rules = nothing).await;
    scene.host.says("/c", &[json(&scene.document("/c"))]);
    let answer = scene.asked(&scene.host.url("/c")).await;
    right(page400(&answer), "off");
    assert!(answer.text().contains("has not named the host"), "a person can understand it");
    let metadata = format!("{}/.well-known/oauth-authorization-server", scene.house.issuer);
    let supported = |document: serde_json::Value| document["client_id_metadata_document_supported"] == true;
    assert!(!supported(scene.house.http.get(&metadata, &[]).await.unwrap().json()));
    assert_eq!(scene.host.connections(), 0);
    scene.close().await;

    let scene = Cimd::with(|plan| {
        let host = plan.documents.as_ref().unwrap();
        let known = host.url("").trim_start_matches("https://").to_owned();
        plan.document_rules = DocumentRules {
            known_hosts: vec![known],
            unknown_hosts: UnknownHosts::Refuse,
            well_known: Vec::new(),
        };
    })
    .await;
    assert!(supported(scene.house.http.get(&metadata_of(&scene), &[]).await.unwrap().json()));
    scene.host.says("/c", &[json(&scene.document("/c"))]);
    assert!(scene.is_known(&scene.host.url("/c")).await);
    let before = scene.host.connections();
    scene.refused(&scene.host.url_at("other.example", "/c")).await;
    assert_eq!(scene.host.connections(), before);
    scene.close().await;
}

/// Whoever is blocked by a rule about their host or their id is refused before anything is fetched from them; a client that
/// consented before they were blocked, too.
#[tokio::test]
async fn cm_29_a_blocked_client_is_refused_before_its_document_is_asked_for() {
    let scene = Cimd::with(|plan| {
        let host = |host: &str| Named::Host(HostPattern::parse(host).unwrap());
        let id = plan.documents.as_ref().unwrap().url("/blocked");
        let client = Named::Client(ClientId::parse(&id).unwrap());
        let named = [host("other.example"), client].map(|named| (named, Standing::Block));
        plan.client_policy.named.extend(named);
    })
    .await;
    for path in ["/c", "/blocked"] {
        scene.host.says(path, &[json(&scene.document(path))]);
    }
    for id in [scene.host.url_at("other.example", "/c"), scene.host.url("/blocked")] {
        right(page400(&scene.asked(&id).await), &id);
    }
    assert_eq!(scene.host.connections(), 0, "NOUP");
    // By an administrator, later.
    assert!(scene.is_known(&scene.host.url("/c")).await);
    let before = scene.host.connections();
    let house = &scene.house;
    let entropy = TestEntropy::seeded(29);
    let desk = ClientAdministration(Stopping {
        clock: house.clock.as_ref(),
        entropy: &entropy,
        issuer: &house.issuer,
        store: house.store.as_ref(),
    });
    let url = scene.host.url("/c");
    let host = url.trim_start_matches("https://").split(':').next().unwrap().to_owned();
    desk.block(&Blocked::Host(host), None).await.unwrap();
    house.advance(Duration::from_secs(2 * 86_400)).await.unwrap();
    right(page400(&scene.asked(&url).await), "its host is blocked");
    assert_eq!(scene.host.connections(), before, "NOUP");
    scene.close().await;
}

/// The same where tokens are given out, for a client that people allowed before the operator wrote it down as blocked.
#[tokio::test]
async fn cm_29_a_client_that_the_operator_blocks_later_gets_no_token_and_its_document_is_not_asked_for() {
    let mut scene = Cimd::new().await;
    let client = scene.good("/c", &scene.document("/c"));
    let (mut browser, resource) = (scene.house.browser(), scene.house.resource("notes"));
    let tokens = client.obtain_tokens(&mut browser, "alice", &resource).await.unwrap();
    let pkce = Pkce::new("blocked later");
    let code = client.obtain_code(&mut browser, "alice", &resource, &pkce.challenge).await.unwrap();
    let named = Named::Client(ClientId::parse(&scene.host.url("/c")).unwrap());
    let block = |plan: &mut Plan| plan.client_policy.named.push((named, Standing::Block));
    scene.house = scene.house.restart_with(block).await.unwrap();
    let before = scene.host.connections();
    right(tok401(&client.redeem(&code, &pkce.verifier).await.unwrap(), false), "a code");
    let refreshed = client.refresh(tokens["refresh_token"].as_str().unwrap()).await.unwrap();
    right(tok401(&refreshed, false), "a refresh token");
    assert_eq!(scene.host.connections(), before, "NOUP");
    scene.close().await;
}

fn metadata_of(scene: &Cimd) -> String {
    format!("{}/.well-known/oauth-authorization-server", scene.house.issuer)
}

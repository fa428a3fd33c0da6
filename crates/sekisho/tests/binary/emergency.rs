//! docs/runbooks/dead-identity-provider.md, done.

use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, Pkce, TestClient, allow, parameter};

use crate::process::{Folder, http, text};
use crate::runbook::{commands, run};

const NOWHERE: &str = "http://127.0.0.1:9/mcp";

#[tokio::test(flavor = "multi_thread")]
async fn the_runbook_of_a_dead_identity_provider_lets_one_person_in_once() {
    let folder = Folder::new(NOWHERE);
    let running = folder.serve();
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    client.obtain_tokens(&mut Browser::new(http()), "alice", &folder.resource()).await.unwrap();
    let all = commands("dead-identity-provider");
    let [refusals, make, made, used, ..] = all.as_slice() else { panic!("{all:?}") };
    assert!(run(&folder, refusals, &[]).status.success());

    // Nobody is led to a door that is not there.
    let pkce = Pkce::new("emergency");
    let url = client.authorization_url(&client.authorization_request(&folder.resource(), &pkce.challenge));
    let mut browser = Browser::new(http());
    let login = browser.open(&url).await.unwrap().page().unwrap();
    assert!(!login.links().iter().any(|link| link.contains("emergency")), "{}", login.words());
    let early = format!("{}/login/emergency?{}", folder.issuer, login.url.query().unwrap_or_default());
    let early = browser.open(&early).await.unwrap().page().unwrap();
    assert!(!early.words().contains("Emergency code"), "{}", early.words());

    let output = run(&folder, make, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let code = text(&output.stdout).lines().next().unwrap().to_owned();
    let login = browser.open(&url).await.unwrap().page().unwrap();
    let link = login.links().into_iter().find(|link| link.contains("emergency")).unwrap();
    let link = login.url.join(&link.replace("&amp;", "&")).unwrap();
    let page = browser.open(link.as_str()).await.unwrap().page().unwrap();
    let wrong = page.form().unwrap().with("code", "ske_wrong");
    let told = browser.submit(&page, wrong, None).await.unwrap().page().unwrap();
    assert!(told.words().contains("not good"), "{}", told.words());
    let right = page.form().unwrap().with("code", &code);
    let consent = browser.submit(&page, right, None).await.unwrap().page().unwrap();
    let callback = allow(&mut browser, &consent).await.unwrap();
    let answer = client.redeem(&parameter(&callback, "code").unwrap(), &pkce.verifier).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());

    // Once: in another browser it is worth nothing, and it stands nowhere.
    let mut other = Browser::new(http());
    let login = other.open(&url).await.unwrap().page().unwrap();
    assert!(!login.links().iter().any(|link| link.contains("emergency")), "{}", login.words());
    for events in [made, used] {
        let shown = run(&folder, events, &[]);
        let shown = text(&shown.stdout);
        assert_eq!(shown.matches("alice@example.com").count(), 1, "{shown}");
        assert!(!shown.contains(&code));
    }
    running.send("-TERM");
    let (_, said) = running.ended();
    assert!(said.contains("signed in by an emergency code"), "{said}");
}

#[test]
fn a_code_is_for_somebody_who_is_known_and_says_why() {
    let folder = Folder::new(NOWHERE);
    folder.serve().kill();
    let nobody = folder.run(&["emergency-login", "--user", "mallory@example.com", "--why", "x"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("nobody here is"), "{}", text(&nobody.stderr));
    for wrong in [
        ["--why", " ", "--valid", "15m"],
        ["--why", "one line\nand another", "--valid", "15m"],
        ["--why", "x", "--valid", "25h"],
        ["--why", "x", "--valid", "0s"],
    ] {
        let mut words = vec!["emergency-login", "--user", "alice@example.com"];
        words.extend(wrong);
        assert_eq!(folder.run(&words).status.code(), Some(2), "{wrong:?}");
    }
}

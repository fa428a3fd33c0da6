//! What commands are asked about and is not there: that must never look like success, and who is there is found by every name
//! that other commands take.

use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};

use crate::process::{Folder, http, text};

const SECRET: &str = "secret-of-the-runner-0123456789abcdef";

/// A house with a service account.
fn folder() -> Folder {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    let config = std::fs::read_to_string(folder.path("sekisho.toml")).unwrap();
    let config = config.replace(
        "access = \"everyone who may log in\"",
        "access = [\"everyone who may log in\", \"service-account:ci\"]",
    );
    let more = format!(
        "[[client]]\nclient_id = \"runner\"\nsecret_command = [\"printf\", \"{SECRET}\"]\n\
         [[service_account]]\nname = \"ci\"\ntitle = \"Builds\"\nclients = [\"runner\"]\n"
    );
    std::fs::write(folder.path("sekisho.toml"), format!("{config}{more}")).unwrap();
    folder
}

fn ran(folder: &Folder, arguments: &[&str], code: i32) -> String {
    let output = folder.run(arguments);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

/// S29, S17: whoever an event is of is found by every name that other commands take, and nobody is not found in silence.
#[tokio::test]
async fn the_audit_finds_people_and_machines_as_every_other_command_does() {
    let folder = folder();
    let running = folder.serve();
    assert!(
        ran(&folder, &["audit", "--user", "service-account:ci"], 0).contains("No event is as you asked for")
    );
    let (url, resource) = (format!("{}/oauth/token", folder.issuer), folder.resource());
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "runner"),
        ("client_secret", SECRET),
        ("resource", resource.as_str()),
    ];
    assert_eq!(http().post_form(&url, &[], &fields).await.unwrap().status, 200);
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    client.obtain_tokens(&mut Browser::new(http()), "alice", &folder.resource()).await.unwrap();
    running.kill();
    let issued = |user: &str| {
        let said = ran(&folder, &["audit", "--json", "--kind", "token_issued", "--user", user], 0);
        let events: Vec<serde_json::Value> =
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 1, "{user}: {said}");
        events[0]["user"].as_str().unwrap().to_owned()
    };
    let machine = issued("service-account:ci");
    assert_eq!([issued(&machine), issued("Builds")], [machine.clone(), machine.clone()]);
    let alice = issued("alice@example.com");
    assert_ne!(alice, machine);
    for name in [alice.as_str(), "development:alice", "ALICE@example.com", "alice"] {
        assert_eq!(issued(name), alice, "{name}");
    }
    // Who asked for whom is in the audit by id, and never by name.
    let read = ran(&folder, &["audit", "--json", "--kind", "audit_read", "--limit", "0"], 0);
    assert!(read.contains(&format!("user={alice}")) && !read.contains("alice@"), "{read}");
    for nobody in ["nobody@example.com", "service-account:cd", "okta:00u1"] {
        assert!(ran(&folder, &["audit", "--user", nobody], 2).contains("nobody here is"));
        assert!(
            ran(&folder, &["audit", "--json", "--limit", "0", "--user", nobody], 2)
                .contains("nobody here is")
        );
    }
    for narrow in [["--kind", "stopped"], ["--client", "nosuch"]] {
        let said = ran(&folder, &[&["audit"][..], &narrow[..]].concat(), 0);
        assert!(said.contains("No event is as you asked for"), "{said}");
    }
    assert!(ran(&folder, &["audit", "--server", "nosuch"], 2).contains("there are: notes"));
}

/// S42, B32, S23, S19: a name that is misspelt holds nothing, stops nothing and lists nothing, and that is said.
#[tokio::test]
async fn what_is_not_there_is_neither_held_nor_stopped_nor_listed() {
    let folder = folder();
    let running = folder.serve();
    let client = TestClient::register(&http(), &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    client.obtain_tokens(&mut Browser::new(http()), "alice", &folder.resource()).await.unwrap();
    let hold = ["audit", "hold", "add", "--reason"];
    let held = |more: &[&str], code| ran(&folder, &[&hold[..], more].concat(), code);
    assert!(held(&["case 7", "--server", "nix"], 2).contains("there are: notes"));
    for empty in ["", " ", "\t"] {
        assert!(held(&[empty, "--server", "notes"], 2).contains("say why"));
    }
    assert!(ran(&folder, &["audit", "hold", "list"], 0).contains("Nothing is under a hold"));
    for (arguments, told) in [
        (&["stop", "--server", "nix"][..], "there are: notes"),
        (&["stop", "--client", "nosuch"], "nobody here has used"),
        (&["stop", "--client", "dcr_AAEC"], "nobody here has used"),
        (&["stop", "--client", "nosuch", "--block"], "nobody here has used"),
        (&["connections", "list", "--server", "nix"], "there are: notes"),
    ] {
        assert!(ran(&folder, arguments, 2).contains(told), "{arguments:?}");
    }
    let events = ran(&folder, &["audit", "--json", "--limit", "0"], 0);
    assert!(
        !["audit_held", "stopped", "client_blocked"].iter().any(|kind| events.contains(kind)),
        "{events}"
    );
    // What is there is, and what registers itself may be kept out before anybody uses it.
    let said = held(&["case 7", "--server", "notes", "--user", "alice@example.com"], 0);
    assert!(said.contains("every event of alice@example.com at notes, from the beginning"), "{said}");
    let listed = ran(&folder, &["audit", "hold", "list"], 0);
    assert!(
        listed.contains("alice@example.com") && !listed.contains("Z "),
        "people and times as in other tables: {listed}"
    );
    ran(&folder, &["connections", "list", "--server", "notes"], 0);
    ran(&folder, &["stop", "--client", "runner"], 0);
    ran(&folder, &["stop", "--client", "dcr_AAEC", "--block"], 0);
    assert!(ran(&folder, &["stop", "--client", &client.client_id], 0).contains("1 grants"));
    // One that was taken out of the configuration is still known by what was allowed there.
    running.kill();
    let config = std::fs::read_to_string(folder.path("sekisho.toml")).unwrap();
    std::fs::write(folder.path("sekisho.toml"), config.replace("name = \"notes\"", "name = \"mail\""))
        .unwrap();
    ran(&folder, &["stop", "--server", "notes"], 0);
    ran(&folder, &["audit", "--server", "notes"], 0);
    held(&["case 8", "--server", "notes"], 0);
}

use testkit::mcp_server::FakeMcpServer;

use crate::process::{Folder, text};

#[tokio::test(flavor = "multi_thread")]
async fn check_says_that_a_good_set_up_would_work_and_starts_nothing() {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let output = folder.run(&["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    for what in [
        "configuration",
        "public URL",
        "master key",
        "store",
        "identity provider development",
        "MCP server notes",
    ] {
        assert!(said.contains(&format!("ok    {what}")), "{what}:\n{said}");
    }
    assert!(!folder.path("record.db").exists(), "check made a store");
}

#[test]
fn check_names_what_would_not_work_and_goes_on_looking() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    std::fs::remove_file(folder.path("master.key")).unwrap();
    let output = folder.run(&["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("BAD   master key"), "{said}");
    assert!(said.contains("BAD   MCP server notes"), "{said}");
    assert!(said.contains("2 things would not work"), "{said}");
}

#[test]
fn check_of_an_existing_record_tries_the_master_key() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    folder.serve().kill();
    folder.write_key("ff02030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00");
    let said = text(&folder.run(&["check"]).stdout);
    assert!(said.contains("BAD   keys"), "{said}");
}

/// A newer binary beside an older one that runs: to look at the record must not change it.
#[test]
fn check_and_audit_leave_a_record_of_another_version_as_it_is() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    std::fs::write(folder.path("record.db"), "").unwrap();
    for _ in 0..2 {
        let said = text(&folder.run(&["check"]).stdout);
        assert!(said.contains("migrations pending") && said.contains("note  keys"), "{said}");
        let audit = folder.run(&["audit"]);
        assert_eq!(audit.status.code(), Some(2), "{}", text(&audit.stderr));
    }
}

#[test]
fn a_wrong_configuration_is_shown_with_all_its_mistakes() {
    let folder = Folder::new("http://127.0.0.1:9/mcp");
    let config = std::fs::read_to_string(folder.config()).unwrap();
    std::fs::write(folder.config(), config.replace("public_url", "publc_url").replace("sqlite", "sqlit"))
        .unwrap();
    for command in ["check", "serve"] {
        let output = folder.run(&[command]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("did you mean `public_url`") && said.contains("did you mean `sqlite`"),
            "{said}"
        );
        assert!(said.contains("sekisho.toml:1"), "{said}");
    }
}

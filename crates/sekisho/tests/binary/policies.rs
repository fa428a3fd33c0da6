//! `sekisho policy`: the examples of docs/policy.md say what they promise, mistakes are told, and answers are explained.

use serde_json::json;
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient, mcp_request};
use testkit::mcp_server::FakeMcpServer;

use crate::process::{Folder, http, text};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy.md");

/// What stands in the page in this language.
fn examples(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let begin = format!("```{language}\n");
    let blocks = page.split(begin.as_str()).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

async fn house() -> (FakeMcpServer, Folder) {
    let server = FakeMcpServer::start().await.unwrap();
    let folder = Folder::new(&server.url);
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let more = format!(
        "[policy]\nfolder = \"policies\"\n[[mcp_server]]\nname = \"ledger\"\nurl = \"{}\"\n\
         access = [\"group:finance\", \"policy\", \"service-account:ci\"]\n\
         [[client]]\nclient_id = \"ci-client\"\nsecret_file = \"master.key\"\n\
         [[service_account]]\nname = \"ci\"\nclients = [\"ci-client\"]\n",
        server.url
    );
    std::fs::write(folder.config(), config + &more).unwrap();
    std::fs::create_dir(folder.path("policies")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path("policies").join(name), text).unwrap();
    write("examples.cedar", &examples("cedar").concat());
    write("arguments.cedarschema", &examples("cedarschema").concat());
    (server, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_page_answer_as_the_cases_of_the_page_expect() {
    let (_server, folder) = house().await;
    let cases = folder.path("cases.toml");
    let page = examples("toml cases");
    let more = include_str!("policies/cases.toml");
    std::fs::write(&cases, page.concat() + more).unwrap();
    let cases = cases.display().to_string();
    let output = folder.run(&["policy", "test", &cases]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.ends_with("all as expected\n"), "{said}");
    // And a case that expects something else is told, with the policy that answered.
    let wrong =
        "[[case]]\nname = \"hopeful\"\nserver = \"notes\"\ntool = \"delete_all\"\nexpect = \"allow\"\n";
    std::fs::write(&cases, wrong).unwrap();
    let output = folder.run(&["policy", "test", &cases]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}{}", text(&output.stderr));
    assert!(said.contains("hopeful") && said.contains("no-deletes (examples.cedar:1)"), "{said}");
    let output = folder.run(&["policy", "check"]);
    assert!(text(&output.stdout).contains("9 policies"), "{}", text(&output.stdout));
}

/// Every mistake, in every file, at once; and nothing starts.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_policies_are_told_with_file_and_line_by_check_and_serve() {
    let (_server, folder) = house().await;
    let policies = folder.path("policies");
    std::fs::write(policies.join("z.cedar"), "forbid (principal, action == Action::\"cal\", resource);")
        .unwrap();
    std::fs::write(
        policies.join("y.cedar"),
        "\nforbid (principal, action, resource in McpServer::\"nots\");",
    )
    .unwrap();
    for command in [&["check"][..], &["serve"], &["policy", "check"]] {
        let output = folder.run(command);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("z.cedar:1: ") && said.contains("y.cedar:2: "), "{command:?}: {said}");
        assert!(said.contains("`McpServer::\"nots\"` is of no MCP server"), "{said}");
    }
    // Names of nobody, and what is no file that can be read: each by its name, and nothing is waited for.
    for name in ["y.cedar", "z.cedar"] {
        std::fs::remove_file(policies.join(name)).unwrap();
    }
    let said_of = |name: &str, make: &dyn Fn(&std::path::Path)| {
        let path = policies.join(name);
        make(&path);
        let output = folder.run(&["policy", "check"]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", text(&output.stdout));
        if path.is_dir() {
            std::fs::remove_dir(&path).unwrap()
        } else {
            std::fs::remove_file(&path).unwrap()
        }
        text(&output.stderr)
    };
    let policy = |policy: &'static str| move |path: &std::path::Path| std::fs::write(path, policy).unwrap();
    let account = r#"forbid (principal == ServiceAccount::"nosuch", action, resource);"#;
    let said = said_of("a.cedar", &policy(account));
    assert!(said.contains("a.cedar:1: ") && said.contains("is no service account"), "{said}");
    let said = said_of("b.cedar", &policy(r#"forbid (principal in Group::"", action, resource);"#));
    assert!(said.contains("b.cedar:1: ") && said.contains("it has no name"), "{said}");
    assert!(said_of("c.cedar", &|path| std::fs::write(path, b"\xff").unwrap()).contains("`c.cedar`: "));
    assert!(said_of("d.cedar", &|path| std::fs::create_dir(path).unwrap()).contains("`d.cedar`: is no file"));
    let pipe = |path: &std::path::Path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    assert!(said_of("f.cedar", &pipe).contains("`f.cedar`: is no file"));
    let dangling = |path: &std::path::Path| std::os::unix::fs::symlink("nowhere", path).unwrap();
    assert!(said_of("l.cedar", &dangling).contains("`l.cedar`: "));
    std::fs::remove_dir_all(&policies).unwrap();
    let output = folder.run(&["serve"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

/// A test that cannot mean what it says is told, and not counted as passed.
#[tokio::test(flavor = "multi_thread")]
async fn cases_that_cannot_mean_what_they_say_are_mistakes() {
    let (_server, folder) = house().await;
    let cases = folder.path("cases.toml");
    for (case, word) in [
        ("case = []", "it holds no [[case]]"),
        ("[[case]]\nserver = \"notes\"\nexpect = \"alow\"", "`expect` is"),
        ("[[case]]\nserver = \"nots\"\nexpect = \"allow\"", "there is no MCP server `nots`"),
        ("[[case]]\nserver = \"notes\"\nexpect = \"allow\"\ntol = \"add\"", "unknown field `tol`"),
        ("[[case]]\nserver = \"notes\"\nexpect = \"allow\"\ntool = \"a\"\nprompt = \"b\"", "only one of"),
        ("[[case]]\nserver = \"notes\"\nexpect = \"allow\"\nread_only = true", "are of a tool"),
        (
            "[[case]]\nserver = \"notes\"\nexpect = \"allow\"\ngroups = [\"a\"]\nservice_account = \"ci\"",
            "a service account has no user",
        ),
        (
            "[[case]]\nserver = \"notes\"\nexpect = \"allow\"\ntool = \"a\"\narguments = { day = 2026-01-01 }",
            "JSON knows no times",
        ),
        (
            "[[case]]\nserver = \"notes\"\nexpect = \"allow\"\ntool = \"a\"\narguments = \"{not json\"",
            "arguments: no JSON object",
        ),
        (
            "[[case]]\nserver = \"notes\"\nexpect = \"allow\"\ntool = \"a\"\nscopes = [\"raed\"]",
            "notes has no scope `raed`, but read write",
        ),
        (
            "[[case]]\nserver = \"notes\"\nexpect = \"allow\"\ntool = \"a\"\nat = \"noon\"",
            "a time is written as",
        ),
    ] {
        std::fs::write(&cases, case).unwrap();
        let output = folder.run(&["policy", "test", &cases.display().to_string()]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{case}: {said}");
        assert!(said.contains(word), "{case}: {said}");
    }
}

fn explained(folder: &Folder, who: &str, more: &[&str]) -> String {
    let mut all = vec!["policy", "explain", "--user", who];
    all.extend(more);
    let output = folder.run(&all);
    assert_eq!(output.status.code(), Some(0), "{more:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Alice's access token.
async fn sign_in(folder: &Folder) -> String {
    let http = http();
    let client = TestClient::register(&http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http.clone());
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_explained_with_the_policies_that_decided() {
    let (_server, folder) = house().await;
    let running = folder.serve();
    sign_in(&folder).await;
    let ci = |more: &[&str]| explained(&folder, "service-account:ci", more);
    let pay = ["--server", "ledger", "--tool", "pay", "--address"];
    let said = ci(&[&pay[..], &["203.0.113.1", "--arguments", r#"{"amount":1.5}"#]].concat());
    for word in ["refused, by large-amounts (examples.cedar:", "machines-at-home", "access_service_account"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = ci(&[&pay[..], &["10.1.1.1", "--scopes", "read", "--arguments", r#"{"amount":5}"#]].concat());
    assert!(said.contains("asked for the scope `write`") && said.contains("lack `write`"), "{said}");
    // A person of the record, at a time.
    let alice = |more: &[&str]| explained(&folder, "alice@example.com", &[&["--server"], more].concat());
    let deploy = ["notes", "--tool", "deploy", "--at"];
    let said = alice(&[&deploy[..], &["2026-03-02T03:00:00Z"]].concat());
    assert!(said.contains("alice@example.com (") && said.contains("refused, by working-hours ("), "{said}");
    let said = alice(&[&deploy[..], &["2026-03-02T10:00:00Z"]].concat());
    assert!(said.contains("allowed, by tool_writes") && !said.contains("working-hours"), "{said}");
    let said = alice(&["ledger"]);
    assert!(
        said.contains("what       connect\n") && said.contains("allowed, by everybody-comes-in ("),
        "{said}"
    );
    assert!(said.contains("does not let in (access_no_group)"), "{said}");
    assert!(!alice(&["notes"]).contains("shut out"));
    // A mistake in a policy keeps nobody from stopping a person.
    let odd = folder.path("policies").join("odd.cedar");
    std::fs::write(&odd, "forbid (").unwrap();
    assert_eq!(folder.run(&["policy", "check"]).status.code(), Some(2));
    for tending in [
        &["audit", "--limit", "1"][..],
        &["audit", "export"],
        &["audit", "hold", "list"],
        &["audit", "verify"],
        &["connections", "list"],
        &["tools", "list"],
        &["usage"],
    ] {
        let output = folder.run(tending);
        assert_eq!(output.status.code(), Some(0), "{tending:?}: {}", text(&output.stderr));
    }
    let output = folder.run(&["stop", "--user", "alice@example.com", "--block"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    std::fs::remove_file(odd).unwrap();
    assert!(alice(&["notes"]).contains("shut out"));
    for (who, word) in
        [("nobody@example.com", "nobody here"), ("service-account:c", "no service account `c`")]
    {
        let output = folder.run(&["policy", "explain", "--server", "notes", "--user", who]);
        assert!(text(&output.stderr).contains(word), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(2));
    }
    drop(running);
}

/// What is asked about is judged as the gateway does it, or it is a mistake.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_explained_is_what_the_gateway_judges() {
    let (_server, folder) = house().await;
    let running = folder.serve();
    let access = sign_in(&folder).await;
    let alice = |more: &[&str]| explained(&folder, "alice@example.com", &[&["--server"], more].concat());
    // Tasks are what nobody knows, and a subscription is of a resource.
    let said = alice(&["ledger", "--method", "tasks/get"]);
    assert!(said.contains("allowed, by and-fetches-it-if-it-takes-long ("), "{said}");
    assert!(alice(&["ledger", "--method", "vendor/x"]).contains("refused, by policy_no_permit"));
    let subscribes = ["--resource", "file:///a", "--method", "resources/subscribe"];
    assert!(alice(&[&["ledger"], &subscribes[..]].concat()).contains("refused, by policy_no_permit"));
    assert!(alice(&[&["notes"], &subscribes[..]].concat()).contains("allowed, by call_reads"));
    let all = ["policy", "explain", "--user", "alice@example.com", "--server", "notes", "--method"];
    let output = folder.run(&[&all[..], &["resources/subscribe"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("judged by its resource"), "{}", text(&output.stderr));
    // Whether a tool reads is known once somebody was shown it.
    let reading = ["notes", "--scopes", "read", "--tool", "echo"];
    let said = alice(&reading);
    assert!(said.contains("tool       is not known here, and counts as one that writes\n"), "{said}");
    assert!(said.contains("asked for the scope `write`"), "{said}");
    let list = mcp_request(&folder.resource(), &access, "tools/list", json!({})).unwrap();
    assert_eq!(http().send(list).await.unwrap().status, 200);
    let known = async { while alice(&reading).contains("is not known here") {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), known).await.unwrap();
    let said = alice(&reading);
    assert!(said.contains("tool       only reads, as it says of itself\n"), "{said}");
    assert!(said.contains("allowed, by tool_reads"), "{said}");
    let said = alice(&["notes", "--scopes", "read", "--tool", "write"]);
    assert!(said.contains("tool       writes, as far as it says\n"), "{said}");
    for (argument, value, word) in [
        ("--arguments", "xx", "--arguments: no JSON object"),
        ("--arguments", "[1]", "--arguments: no JSON object"),
        ("--scopes", "nosuch scope", "notes has no scope `nosuch`, but read write"),
    ] {
        let all = ["policy", "explain", "--user", "alice@example.com", "--server", "notes", "--tool", "add"];
        let output = folder.run(&[&all[..], &[argument, value]].concat());
        assert_eq!(output.status.code(), Some(2), "{argument} {value}: {}", text(&output.stdout));
        assert!(text(&output.stderr).contains(word), "{}", text(&output.stderr));
    }
    drop(running);
}

//! The commands of `docs/machines.md`, each as it stands there.

use testkit::browser::Browser;
use testkit::client::log_in;
use testkit::house::House;
use testkit::http::Answer;
use testkit::outcomes::Verdict;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const DOCUMENT: &str = include_str!("../../docs/machines.md");

/// One `curl` command: its URL, its user, its fields.
#[derive(Debug, Default)]
struct Command {
    url: String,
    user: Option<String>,
    fields: Vec<(String, String)>,
}

/// Reads a command as far as the document writes them, with these values in place of its words.
fn command(text: &str, values: &[(&str, &str)]) -> Result<Command, String> {
    let mut text = text.replace("\\\n", " ");
    for (word, value) in values {
        text = text.replace(word, value);
    }
    let mut words = Vec::new();
    // Quotes are around whole words or whole values, with no space but inside of them.
    for (number, part) in text.split('"').enumerate() {
        if number % 2 == 1 {
            let before: String = words.pop().unwrap_or_default();
            words.push(format!("{before}{part}"));
            continue;
        }
        let mut pieces: Vec<String> = part.split_whitespace().map(str::to_owned).collect();
        // What ends in a space begins a word of its own in the quotes that follow.
        if part.ends_with(char::is_whitespace) {
            pieces.push(String::new());
        }
        words.extend(pieces);
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    if words.next().as_deref() != Some("curl") {
        return Err(format!("not a command: {text}"));
    }
    let mut command = Command::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--silent" => {}
            "--user" => command.user = words.next(),
            "--data-urlencode" => {
                let field = words.next().ok_or("a field is missing")?;
                let (name, value) = field.split_once('=').ok_or("not a field")?;
                command.fields.push((name.to_owned(), value.to_owned()));
            }
            url if url.starts_with("http") => command.url = word,
            other => return Err(format!("`{other}` is not known here")),
        }
    }
    Ok(command)
}

async fn run(house: &House, command: &Command) -> Result<Answer, String> {
    let basic = command.user.as_ref().map(|user| format!("Basic {}", STANDARD.encode(user)));
    let headers: Vec<(&str, &str)> = basic.iter().map(|basic| ("authorization", basic.as_str())).collect();
    let fields: Vec<(&str, &str)> =
        command.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    house.http.post_form(&command.url, &headers, &fields).await
}

async fn allow_device(browser: &mut Browser, url: &str) -> Verdict {
    let page = browser.open(url).await?.page()?;
    let login = browser.submit(&page, page.form()?, None).await?.page()?;
    let consent = log_in(browser, login, "alice").await?;
    let form = consent.form()?;
    browser.submit(&consent, form, Some(("decision", "allow"))).await?.page().map(|_| ())
}

#[tokio::test]
async fn every_command_about_machines_does_what_the_document_says() -> Verdict {
    let house = House::new().await?;
    let client = house.client().await?;
    let tokens = client.obtain_tokens(&mut house.browser(), "bob", &house.resource("notes")).await?;
    let token = tokens["access_token"].as_str().ok_or("no token")?.to_owned();
    let mut device_code = String::new();
    let blocks: Vec<&str> =
        DOCUMENT.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 4);
    for block in blocks {
        let values = [
            ("ISSUER", house.issuer.as_str()),
            ("$RUNNER_SECRET", "secret-of-the-runner"),
            ("$AGENT_SECRET", "secret-of-the-agent"),
            ("$DEVICE_CODE", device_code.as_str()),
            ("$TOKEN", token.as_str()),
        ];
        let answer = run(&house, &command(block, &values)?).await?;
        assert_eq!(answer.status, 200, "{block}\n{}", answer.text());
        let json = answer.json();
        if let Some(code) = json["device_code"].as_str() {
            device_code = code.to_owned();
            let url = json["verification_uri_complete"].as_str().ok_or("no page")?;
            allow_device(&mut house.browser(), url).await?;
        } else {
            let token = json["access_token"].as_str().ok_or("no token")?;
            assert_eq!(house.call("notes", token, "tools/list", serde_json::json!({})).await?.status, 200);
        }
    }
    house.close().await
}

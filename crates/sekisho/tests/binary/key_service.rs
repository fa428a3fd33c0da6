//! The master key in the keeping of a key-management service: each of the three, honest, refusing and away.

use std::collections::HashMap;
use std::process::{Command, Output};
use std::sync::Arc;

use protocol::secret::Secret;
use sekisho::world::SystemClock;
use testkit::key_services::{AWS, KEY, KeyServices, Odd, VAULT_TOKEN};
use upstream::egress::Fetcher;
use upstream::kms::aws::AwsKms;
use upstream::kms::google::GoogleKms;
use upstream::kms::vault::{VaultLogin, VaultTransit};
use upstream::kms::{KeyService, KeyServiceClient, KeyServiceError, Surroundings};
use upstream::trust::Trust;

use crate::process::{Folder, MASTER_KEY, text};

const NOWHERE: &str = "http://127.0.0.1:9/mcp";
const GOOGLE_KEY: &str = "projects/p/locations/l/keyRings/r/cryptoKeys/the-key";

fn client(service: KeyService, surroundings: &[(&str, String)]) -> KeyServiceClient {
    let variables = surroundings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    KeyServiceClient {
        service,
        egress: Arc::new(Fetcher::new(&Trust::nobody().unwrap())),
        clock: Arc::new(SystemClock::default()),
        surroundings: Surroundings(variables.collect::<HashMap<_, _>>()),
    }
}

fn aws(services: &KeyServices, context: &str) -> KeyService {
    KeyService::Aws(AwsKms {
        key: KEY.to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: Some(services.url.clone()),
        context: context.to_owned(),
    })
}

fn google(services: &KeyServices, context: &str) -> KeyService {
    let key = GOOGLE_KEY.to_owned();
    KeyService::Google(GoogleKms { key, endpoint: Some(services.url.clone()), context: context.to_owned() })
}

fn vault(services: &KeyServices, context: &str, login: VaultLogin) -> KeyService {
    KeyService::Vault(VaultTransit {
        key: KEY.to_owned(),
        address: services.url.clone(),
        mount: "transit".to_owned(),
        namespace: None,
        login,
        context: context.to_owned(),
    })
}

fn app_role() -> VaultLogin {
    VaultLogin::AppRole { role_id: "a-role".to_owned(), secret_id: Secret::new("a-secret-id".to_owned()) }
}

fn environment() -> Vec<(&'static str, String)> {
    vec![("AWS_ACCESS_KEY_ID", AWS.0.to_owned()), ("AWS_SECRET_ACCESS_KEY", AWS.1.to_owned())]
}

fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

async fn comes_back(client: &KeyServiceClient) {
    let wrapped = client.wrap(&Secret::new(MASTER_KEY.to_owned())).await.unwrap();
    assert!(!wrapped.contains(MASTER_KEY));
    assert_eq!(client.unwrap(&wrapped).await.unwrap().reveal(), MASTER_KEY);
}

/// Each service, by every way of saying who we are.
#[tokio::test]
async fn what_was_wrapped_comes_back_by_every_way_of_logging_in() {
    let (services, folder) = (KeyServices::start().await.unwrap(), tempfile::tempdir().unwrap());
    let url = || services.url.clone();
    let ways: [Vec<(&str, String)>; 4] = [
        environment(),
        vec![
            ("AWS_WEB_IDENTITY_TOKEN_FILE", file(&folder, "pod", "a-pod-token\n")),
            ("AWS_ROLE_ARN", "a-role".to_owned()),
            ("AWS_ENDPOINT_URL_STS", format!("{}/sts/", url())),
        ],
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/container", url())),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a-container-token".to_owned()),
        ],
        vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", url())],
    ];
    for surroundings in ways {
        comes_back(&client(aws(&services, "x"), &surroundings)).await;
    }
    let account = file(&folder, "account.json", &services.service_account());
    comes_back(&client(google(&services, "x"), &[("GOOGLE_APPLICATION_CREDENTIALS", account)])).await;
    let host = url().trim_start_matches("http://").to_owned();
    comes_back(&client(google(&services, "x"), &[("GCE_METADATA_HOST", host)])).await;
    let token = VaultLogin::TokenFile(file(&folder, "token", VAULT_TOKEN));
    comes_back(&client(vault(&services, "x", token), &[])).await;
    comes_back(&client(vault(&services, "x", app_role()), &[])).await;
}

/// A blob that was wrapped for another context, or by another key, is refused by the service itself.
#[tokio::test]
async fn what_was_wrapped_for_another_context_is_refused() {
    let services = KeyServices::start().await.unwrap();
    let host = services.url.trim_start_matches("http://").to_owned();
    let metadata = vec![("GCE_METADATA_HOST", host)];
    type Made = fn(&KeyServices, &str) -> KeyService;
    type Each<'a> = (Made, Vec<(&'a str, String)>, Option<&'a str>);
    let each: [Each<'_>; 3] = [
        (aws, environment(), Some("InvalidCiphertextException")),
        (google, metadata, Some("INVALID_ARGUMENT")),
        (|services, context| vault(services, context, app_role()), Vec::new(), None),
    ];
    for (made, surroundings, code) in each {
        let wrapped = client(made(&services, "one"), &surroundings);
        let wrapped = wrapped.wrap(&Secret::new(MASTER_KEY.to_owned())).await.unwrap();
        let error = client(made(&services, "other"), &surroundings).unwrap(&wrapped).await.unwrap_err();
        assert_eq!(error, KeyServiceError::Refused { status: 400, code: code.map(str::to_owned) });
        assert!(!error.is_passing() && !error.to_string().contains("said by the service"), "{error}");
    }
}

/// What says that a service is away for now is told from what will stay so.
#[tokio::test]
async fn an_outage_is_told_from_a_refusal() {
    let services = KeyServices::start().await.unwrap();
    let host = services.url.trim_start_matches("http://").to_owned();
    let each = [
        client(aws(&services, "x"), &environment()),
        client(google(&services, "x"), &[("GCE_METADATA_HOST", host)]),
        client(vault(&services, "x", app_role()), &[]),
    ];
    for client in &each {
        let wrapped = client.wrap(&Secret::new(MASTER_KEY.to_owned())).await.unwrap();
        for (odd, passing) in
            [(Odd::Broken, true), (Odd::Throttled, true), (Odd::Closed, true), (Odd::Garbage, false)]
        {
            services.next([odd]);
            let error = client.unwrap(&wrapped).await.unwrap_err();
            assert_eq!(error.is_passing(), passing, "{odd:?} {error:?}");
        }
        client.unwrap(&wrapped).await.unwrap();
        assert!(client.unwrap("AAAA").await.is_err());
    }
    let nobody = client(aws(&services, "x"), &[("AWS_EC2_METADATA_DISABLED", "true".to_owned())]);
    assert_eq!(nobody.unwrap("AAAA").await.unwrap_err(), KeyServiceError::Credentials);
    let wrong = vec![("AWS_ACCESS_KEY_ID", AWS.0.to_owned()), ("AWS_SECRET_ACCESS_KEY", "wrong".to_owned())];
    let error = client(aws(&services, "x"), &wrong).unwrap("AAAA").await.unwrap_err();
    let code = Some("InvalidSignatureException".to_owned());
    assert_eq!(error, KeyServiceError::Refused { status: 400, code }, "the signature is verified");
}

/// A folder whose master key is at AWS KMS.
struct AtService {
    folder: Folder,
    rest: String,
    head: String,
}

impl AtService {
    fn new(services: &KeyServices) -> Self {
        let folder = Folder::new(NOWHERE);
        let config = std::fs::read_to_string(folder.config()).unwrap();
        let rest = config.replace("master_key_file = \"master.key\"\n", "");
        let head = format!(
            "[master_key]\nservice = \"aws-kms\"\nkey = \"{KEY}\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\npatience = \"2s\"\n",
            services.url
        );
        let made = Self { folder, rest, head };
        made.write("");
        made
    }

    fn write(&self, wrapped: &str) {
        let config = format!("{}\n{}{wrapped}\n", self.rest, self.head);
        std::fs::write(self.folder.config(), config).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.args(arguments).args(["--config", &self.folder.config()]).env("NO_COLOR", "1");
        command.envs(environment());
        // A variable that is no text is nobody's, and stops nothing.
        #[cfg(unix)]
        command.env("NO_TEXT", <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff"));
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

/// From a file into the service's keeping and back, over a record that is there already; and what an outage does.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_goes_on_with_its_master_key_at_a_service() {
    let services = KeyServices::start().await.unwrap();
    let at = AtService::new(&services);
    std::fs::write(at.folder.config(), format!("master_key_file = \"master.key\"\n{}", at.rest)).unwrap();
    at.folder.serve().kill();
    at.write("");
    let early = at.run(&["keys", "list"]).await;
    assert!(text(&early.stderr).contains("sekisho keys wrap"), "{}", text(&early.stderr));
    let from = at.folder.path("master.key").display().to_string();
    let wrapped = at.run(&["keys", "wrap", "--from", &from]).await;
    let wrapped = text(&wrapped.stdout);
    assert!(wrapped.contains("wrapped = \"") && !wrapped.contains(MASTER_KEY), "{wrapped}");
    at.write(&wrapped);
    std::fs::remove_file(at.folder.path("master.key")).unwrap();
    let list = at.run(&["keys", "list"]).await;
    assert_eq!(text(&list.stdout).matches(" works ").count(), 6, "{}", text(&list.stderr));
    // Throttled and broken for a moment: a start waits.
    services.next([Odd::Throttled, Odd::Broken]);
    let list = at.run(&["keys", "list"]).await;
    assert_eq!(text(&list.stdout).matches(" works ").count(), 6, "{}", text(&list.stderr));
    // Away for longer: a sentence, and nothing is made.
    services.next([Odd::Broken; 20]);
    let serve = at.run(&["serve"]).await;
    let said = text(&serve.stderr);
    assert_eq!(serve.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be had") && said.contains("no other one was made"), "{said}");
    assert!(said.contains("trying again") && !said.contains(AWS.1), "{said}");
    drop(services);
    // The way back: into a file again. (Another service, with the same key.)
    let services = KeyServices::start().await.unwrap();
    let at = AtService {
        head: at
            .head
            .lines()
            .filter(|line| !line.starts_with("endpoint"))
            .fold(String::new(), |all, line| all + line + "\n")
            + &format!("endpoint = \"{}\"\n", services.url),
        ..at
    };
    at.write(&wrapped);
    let to = at.folder.path("back.key").display().to_string();
    let back = at.run(&["keys", "unwrap", "--to", &to]).await;
    assert!(back.status.success(), "{}", text(&back.stderr));
    assert_eq!(std::fs::read_to_string(&to).unwrap().trim(), MASTER_KEY);
    assert_eq!(crate::process::mode(std::path::Path::new(&to)), 0o600);
    let again = at.run(&["keys", "unwrap", "--to", &to]).await;
    assert!(!again.status.success(), "never over a file that is there");
}

/// ST-04: a first start whose service does not answer makes no record and no key.
#[tokio::test(flavor = "multi_thread")]
async fn st_04_a_service_that_is_away_at_the_first_start_makes_no_key() {
    let services = KeyServices::start().await.unwrap();
    let at = AtService::new(&services);
    let wrapped = at.run(&["keys", "wrap"]).await;
    at.write(&text(&wrapped.stdout));
    services.next([Odd::Closed; 20]);
    let serve = at.run(&["serve"]).await;
    assert_eq!(serve.status.code(), Some(1), "{}", text(&serve.stderr));
    assert!(!at.folder.path("record.db").exists());
}

//! Services that lie, and clocks that are wrong: what they say is never told on, and nothing is taken for a key.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use protocol::world::Timestamp;

use super::vault::VaultLogin;
use super::*;

/// 2026-11-26T03:00:00Z
const NOW: i64 = 1_795_662_000;
const CANARY: &str = "said-by-the-service";
const LIES: [&str; 8] = [
    "",
    "{}",
    "null",
    "<html>said-by-the-service</html>",
    r#"{"Plaintext":"said-by-the-service!","plaintext":7,"data":{"plaintext":"%%said-by-the-service"},"auth":{}}"#,
    r#"{"Plaintext":"/////w==","plaintext":"/////w==","data":{"plaintext":"/////w=="}}"#,
    r#"{"__type":"said-by-the-service","error":"said-by-the-service","errors":["said-by-the-service"]}"#,
    "<Code>said-by-the-service</Code>",
];

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(NOW)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Answers in turn, with the last one for ever, and keeps what it was asked.
#[derive(Debug)]
struct Script(Mutex<VecDeque<Response<Bytes>>>, Mutex<Vec<String>>);

fn answer(status: u16, date: &str, body: &str) -> Response<Bytes> {
    let response = Response::builder().status(status).header("date", date);
    response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

impl Egress for Script {
    fn fetch(
        &self,
        request: Request<Bytes>,
        _: Limits,
    ) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).push(request.uri().to_string());
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { answer.ok_or(FetchError::Unreachable) })
    }
}

fn client(
    service: KeyService,
    surroundings: &[(&str, &str)],
    answers: Vec<Response<Bytes>>,
) -> (KeyServiceClient, Arc<Script>) {
    let script = Arc::new(Script(Mutex::new(answers.into()), Mutex::default()));
    let variables = surroundings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let egress: Arc<dyn Egress> = Arc::<Script>::clone(&script);
    let surroundings = Surroundings(variables.collect());
    (KeyServiceClient { service, egress, clock: Arc::new(Fixed), surroundings }, script)
}

fn aws(endpoint: Option<&str>, region: &str) -> KeyService {
    let endpoint = endpoint.map(str::to_owned);
    KeyService::Aws(AwsKms {
        key: "k".to_owned(),
        region: region.to_owned(),
        endpoint,
        context: "x".to_owned(),
    })
}

fn google(endpoint: Option<&str>) -> KeyService {
    let endpoint = endpoint.map(str::to_owned);
    KeyService::Google(GoogleKms { key: "k".to_owned(), endpoint, context: "x".to_owned() })
}

fn vault(address: &str) -> KeyService {
    KeyService::Vault(VaultTransit {
        key: "k".to_owned(),
        address: address.to_owned(),
        mount: "transit".to_owned(),
        namespace: None,
        login: VaultLogin::AppRole { role_id: "r".to_owned(), secret_id: Secret::new("s".to_owned()) },
        context: "x".to_owned(),
    })
}

const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "the-secret-of-aws")];
const POD: [(&str, &str); 1] = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials")];

/// Whoever is asked lies, the first, the second or every time.
#[tokio::test]
async fn a_service_that_lies_gives_no_key_and_is_not_quoted() {
    let honest = r#"{"AccessKeyId":"a","SecretAccessKey":"b","Token":"c","access_token":"t","auth":{"client_token":"t"}}"#;
    type Each = (fn() -> KeyService, &'static [(&'static str, &'static str)]);
    let each: [Each; 5] = [
        (|| aws(None, "eu-central-1"), &KEYS),
        (|| aws(None, "eu-central-1"), &POD),
        (|| aws(None, "eu-central-1"), &[]),
        (|| google(None), &[]),
        (|| vault("https://vault.example"), &[]),
    ];
    for (service, surroundings) in each {
        for lie in LIES {
            for (status, spared) in [(200, 0), (200, 1), (400, 0), (401, 1), (302, 0), (204, 1)] {
                let mut answers = vec![answer(200, "", honest); spared];
                answers.push(answer(status, "", lie));
                let (client, _) = client(service(), surroundings, answers);
                let error = client.unwrap("AAAA").await.unwrap_err();
                assert!(!error.is_passing(), "{status} {lie} {error:?}");
                let told = format!("{error} {error:?} {:?} {:?}", client.service, client.surroundings);
                assert!(!told.contains(CANARY) && !told.contains("the-secret-of-aws"), "{told}");
            }
        }
    }
}

/// What is signed names the time. Whoever refuses it tells its own.
#[tokio::test]
async fn a_clock_that_is_off_is_told_with_the_refusal() {
    let said = r#"{"__type":"InvalidSignatureException"}"#;
    for (date, off) in [
        ("Thu, 26 Nov 2026 03:00:00 GMT", None),
        ("Thu, 26 Nov 2026 02:57:00 GMT", None),
        ("Thu, 26 Nov 2026 02:50:00 GMT", Some(600)),
        ("Thu, 26 Nov 2026 05:00:00 GMT", Some(-7200)),
        ("yesterday", None),
    ] {
        let (client, _) = client(aws(None, "eu-central-1"), &KEYS, vec![answer(400, date, said)]);
        let code = Some("InvalidSignatureException".to_owned());
        let expected = match off {
            Some(off_s) => KeyServiceError::ClockOff { off_s, status: 400, code },
            None => KeyServiceError::Refused { status: 400, code },
        };
        assert_eq!(client.unwrap("AAAA").await.unwrap_err(), expected, "{date}");
    }
}

/// Nothing is sent where others could read it.
#[tokio::test]
async fn neither_keys_nor_credentials_travel_in_the_clear() {
    let sts = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
        ("AWS_ROLE_ARN", "r"),
        ("AWS_ENDPOINT_URL_STS", "http://sts.example/"),
    ];
    let full = |url| [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)];
    let honest = || vec![answer(200, "", r#"{"access_token":"t","auth":{"client_token":"t"}}"#)];
    for (service, surroundings) in [
        (aws(Some("http://kms.example"), "x"), &KEYS[..]),
        (aws(None, "x"), &sts[..]),
        (aws(None, "x"), &full("http://192.0.2.1/credentials")[..]),
        (aws(None, "x"), &full("http://169.254.170.2.example/credentials")[..]),
        (aws(None, "x"), &full("ftp://127.0.0.1/credentials")[..]),
        (google(Some("http://kms.example")), &[][..]),
        (vault("http://vault.example"), &[][..]),
    ] {
        let (client, script) = client(service, surroundings, honest());
        assert_eq!(client.unwrap("AAAA").await.unwrap_err(), KeyServiceError::InTheClear);
        let asked = script.1.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(asked.iter().all(|url| url.starts_with("http://metadata.google.internal/")), "{asked:?}");
    }
    for beside in ["http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials"] {
        let (client, script) = client(aws(None, "x"), &full(beside), vec![answer(400, "", "")]);
        assert!(matches!(client.unwrap("AAAA").await, Err(KeyServiceError::Refused { .. })));
        assert_eq!(*script.1.lock().unwrap_or_else(PoisonError::into_inner), [beside]);
    }
}

/// STS says in XML that it is asked too often, and then it is asked again.
#[tokio::test]
async fn sts_is_waited_for_as_well() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let pod = [("AWS_WEB_IDENTITY_TOKEN_FILE", file), ("AWS_ROLE_ARN", "r")];
    for (code, passing) in [("Throttling", true), ("IDPCommunicationError", true), ("AccessDenied", false)] {
        let xml = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>{CANARY}</Message></Error></ErrorResponse>"
        );
        let (client, script) = client(aws(None, "cn-north-1"), &pod, vec![answer(400, "", &xml)]);
        let error = client.unwrap("AAAA").await.unwrap_err();
        assert!(error.is_passing() == passing && error.to_string().contains(code), "{error}");
        assert_eq!(
            *script.1.lock().unwrap_or_else(PoisonError::into_inner),
            ["https://sts.cn-north-1.amazonaws.com.cn/"]
        );
    }
}

//! Documents of clients: one fetch for all who ask, kept for as long as their hosts allow, and never a mistake.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::oauth::{ClientId, ClientMetadata, DocumentFlaw, RedirectPolicy};
use protocol::world::Clock;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use upstream::client_metadata_document::{MetadataDocuments, NoDocument, STALE};
use upstream::guarded::{GuardedFetcher, NotFetched};

use crate::guarded::{HOST, Scene, read_head};
use crate::world::TestClock;

/// A host whose answers are told beforehand; the last of them for ever.
struct Host {
    scene: Scene,
    answers: Arc<Mutex<VecDeque<String>>>,
    gate: Arc<Semaphore>,
    clock: Arc<TestClock>,
    documents: MetadataDocuments,
}

impl Host {
    async fn new(open: usize) -> Self {
        let answers = Arc::new(Mutex::new(VecDeque::<String>::new()));
        let gate = Arc::new(Semaphore::new(open));
        let (told, held) = (Arc::clone(&answers), Arc::clone(&gate));
        let scene = Scene::with(move |mut stream| {
            let (answers, gate) = (Arc::clone(&told), Arc::clone(&held));
            async move {
                read_head(&mut stream).await;
                gate.acquire().await.unwrap().forget();
                let answer = {
                    let mut answers = answers.lock().unwrap();
                    if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
            }
        })
        .await;
        let clock = Arc::new(TestClock::default());
        let fetcher = GuardedFetcher::new(&scene.settings(), Arc::clone(&clock) as Arc<dyn Clock>);
        let documents = MetadataDocuments::new(fetcher, Arc::clone(&clock) as Arc<dyn Clock>);
        Self { scene, answers, gate, clock, documents }
    }

    fn id(&self) -> ClientId {
        ClientId::parse(&format!("https://{HOST}:{}/mcp.json", self.scene.port())).unwrap()
    }

    fn document(&self, name: &str) -> String {
        json!({"client_id": self.id(), "client_name": name, "redirect_uris": ["https://client.example/cb"]})
            .to_string()
    }

    fn answers(&self, answers: &[String]) {
        *self.answers.lock().unwrap() = answers.iter().cloned().collect();
    }

    fn good(&self, name: &str, headers: &str) -> String {
        ok(&self.document(name), headers)
    }

    async fn read(&self) -> Result<ClientMetadata, NoDocument> {
        self.documents.read(&self.id(), &RedirectPolicy::default()).await
    }

    async fn at_rest(&self) -> Result<ClientMetadata, NoDocument> {
        self.documents.read_at_rest(&self.id(), &RedirectPolicy::default()).await
    }

    fn fetches(&self) -> usize {
        self.scene.server.connections()
    }
}

fn ok(body: &str, headers: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\n\r\n")
}

fn name(metadata: &ClientMetadata) -> &str {
    metadata.client_name.as_deref().unwrap()
}

/// CM-23.
#[tokio::test]
async fn a_thousand_who_ask_at_once_are_one_fetch() {
    let host = Host::new(0).await;
    host.answers(&[host.good("one", "")]);
    let (id, policy) = (host.id(), RedirectPolicy::default());
    let asking = futures_util::future::join_all((0..1000).map(|_| host.documents.read(&id, &policy)));
    let (answers, ()) = tokio::join!(asking, async { host.gate.add_permits(1) });
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|metadata| name(metadata) == "one")));
    assert_eq!(host.fetches(), 1);
}

/// CM-17, CM-23.
#[tokio::test]
async fn a_failure_is_shared_by_those_who_wait_and_by_nobody_after() {
    let host = Host::new(0).await;
    host.answers(&[status(500), host.good("one", "")]);
    let (id, policy) = (host.id(), RedirectPolicy::default());
    let asking = futures_util::future::join_all((0..100).map(|_| host.documents.read(&id, &policy)));
    let (answers, ()) = tokio::join!(asking, async { host.gate.add_permits(2) });
    assert!(answers.iter().all(|answer| *answer == Err(NoDocument::NotFetched(NotFetched::Status(500)))));
    assert_eq!(host.fetches(), 1);
    assert_eq!(name(&host.read().await.unwrap()), "one");
}

/// CM-16, CM-17.
#[tokio::test]
async fn nothing_but_a_document_of_the_client_is_kept() {
    let host = Host::new(100).await;
    let other = host.document("one").replace("mcp.json", "Mcp.json");
    let html = host.good("one", "").replace("application/json", "text/html");
    let bad = [
        status(404),
        html,
        ok("{", ""),
        ok(&other, ""),
        ok(&host.document("one").replace("https://client.example/cb", "javascript:x"), ""),
    ];
    for answer in bad {
        host.answers(&[answer, host.good("one", "cache-control: no-cache\r\n")]);
        assert!(host.read().await.is_err());
        assert!(host.read().await.is_ok(), "the next answer counts");
    }
}

/// CM-16.
#[tokio::test]
async fn a_document_is_kept_as_its_host_allows_and_no_longer_than_a_day() {
    for (headers, kept) in [
        ("", 599),
        ("cache-control: max-age=300\r\n", 299),
        ("cache-control: max-age=1000000000\r\n", 86_399),
    ] {
        let host = Host::new(100).await;
        host.answers(&[host.good("one", headers), host.good("two", headers)]);
        assert_eq!(name(&host.read().await.unwrap()), "one");
        host.clock.advance(Duration::from_secs(kept));
        assert_eq!((name(&host.read().await.unwrap()), host.fetches()), ("one", 1), "{headers}");
        host.clock.advance(Duration::from_secs(1));
        assert_eq!((name(&host.read().await.unwrap()), host.fetches()), ("two", 2), "{headers}");
    }
    let host = Host::new(100).await;
    let never = "cache-control: no-store\r\n";
    host.answers(&[host.good("one", never), host.good("two", never), status(503)]);
    assert_eq!(name(&host.read().await.unwrap()), "one");
    assert_eq!(name(&host.read().await.unwrap()), "two");
    assert!(host.read().await.is_err(), "what is not to be kept does not stand in either");
}

#[tokio::test]
async fn the_last_document_goes_on_while_the_host_fails_and_not_for_ever() {
    for failing in [status(503), status(429), status(403), String::new()] {
        let host = Host::new(100).await;
        host.answers(&[host.good("one", ""), failing]);
        assert!(host.read().await.is_ok());
        host.clock.advance(STALE);
        assert_eq!(name(&host.read().await.unwrap()), "one");
        host.clock.advance(Duration::from_secs(1));
        assert!(host.read().await.is_err());
    }
    // A host that says something else is heard.
    for heard in [status(404), status(410), status(302), ok("{}", "")] {
        let host = Host::new(100).await;
        host.answers(&[host.good("one", ""), heard]);
        assert!(host.read().await.is_ok());
        host.clock.advance(Duration::from_secs(601));
        assert!(host.read().await.is_err());
    }
}

#[tokio::test]
async fn when_no_person_waits_it_is_asked_for_once_a_minute() {
    let host = Host::new(100).await;
    host.answers(&[host.good("one", "cache-control: no-cache\r\n"), status(503)]);
    for _ in 0..100 {
        assert_eq!(name(&host.at_rest().await.unwrap()), "one");
    }
    assert_eq!(host.fetches(), 1);
    host.clock.advance(Duration::from_secs(61));
    for _ in 0..100 {
        assert_eq!(name(&host.at_rest().await.unwrap()), "one");
    }
    assert_eq!(host.fetches(), 2);
    let never = Host::new(100).await;
    never.answers(&[status(503)]);
    assert!(never.at_rest().await.is_err());
    assert_eq!(never.at_rest().await, Err(NoDocument::Resting));
    assert!(never.read().await.is_err());
    assert_eq!(never.fetches(), 2, "a person who waits is not put off");
}

/// CM-16.
#[tokio::test]
async fn what_is_kept_is_judged_by_the_rules_of_now() {
    let host = Host::new(100).await;
    let document = host.document("one").replace("https://client.example/cb", "cursor://cb");
    host.answers(&[ok(&document, "")]);
    let wide = RedirectPolicy { private_schemes: vec!["cursor".to_owned()], own_origins: Vec::new() };
    assert!(host.documents.read(&host.id(), &wide).await.is_ok());
    assert!(matches!(host.read().await, Err(NoDocument::Flaw(DocumentFlaw::Metadata(_)))));
    assert_eq!(host.fetches(), 2, "fetched once more, and no oftener");
    assert!(host.documents.read(&host.id(), &wide).await.is_ok());
}

/// CM-01, CM-02.
#[tokio::test]
async fn an_identifier_that_is_no_url_of_a_document_dials_nothing() {
    let host = Host::new(100).await;
    host.answers(&[host.good("one", "")]);
    let (name, port) = (HOST, host.scene.port());
    for id in [
        "https://NAME:PORT",
        "https://NAME:PORT?/",
        "https://u@NAME:PORT/c",
        "https://NAME:PORT/../c",
        "https://NAME:PORT/#",
        "https:/NAME:PORT/c",
        "http://NAME:PORT/c",
    ] {
        let id = ClientId::parse(&id.replace("NAME", name).replace("PORT", &port.to_string())).unwrap();
        let refused = host.documents.read(&id, &RedirectPolicy::default()).await.unwrap_err();
        assert!(matches!(refused, NoDocument::Url(_)), "{id}");
    }
    assert_eq!((host.fetches(), host.scene.names.asked()), (0, 0));
}

//! URLs that strangers choose: what is fetched, from where alone, and what is never dialled (attacks.md, section 1.5).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use protocol::oauth::HttpsUrl;
use protocol::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use upstream::egress::{Egress as _, FetchError, Limits};
use upstream::guarded::{Fetched, GuardedFetcher, GuardedSettings, NotFetched, Resolver};
use upstream::proxy::{Proxy, ProxySettings};
use upstream::trust::Trust;

use crate::authority::Authority;
use crate::lying_server::{LyingServer, read_to_end};
use crate::through_a_proxy::honest;
use crate::world::TestClock;

const LARGEST: usize = 5 * 1024;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const HOST: &str = "client.example";

/// Says of each name, one after the other, what it was told; the last of it for ever. Counts.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn leads(&self, host: &str, to: &[&[IpAddr]]) {
        let answers = to.iter().rev().map(|addresses| addresses.to_vec()).collect();
        self.known.lock().unwrap().insert(host.to_owned(), answers);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut known = self.known.lock().unwrap();
        let found = match known.get_mut(host) {
            Some(answers) if answers.len() > 1 => Ok(answers.pop().unwrap()),
            Some(answers) => Ok(answers[0].clone()),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        Box::pin(async move { found })
    }
}

/// A host over TLS on a port of this machine, and a fetcher that believes it and may go to it, if it is named.
pub(crate) struct Scene {
    authority: Authority,
    pub(crate) server: LyingServer,
    pub(crate) names: Arc<Names>,
}

impl Scene {
    pub(crate) async fn with<F, Running>(script: F) -> Self
    where
        F: Fn(TlsStream<TcpStream>) -> Running + Clone + Send + 'static,
        Running: Future<Output = ()> + Send + 'static,
    {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::from(Arc::new(authority.server(HOST, None)));
        let server = LyingServer::start(move |stream, _| {
            let (acceptor, script) = (acceptor.clone(), script.clone());
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                script(stream).await;
            }
        })
        .await;
        let names = Arc::new(Names::default());
        names.leads(HOST, &[&[HERE]]);
        Self { authority, server, names }
    }

    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::with(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move {
                read_head(&mut stream).await;
                // The client may be gone before the end: that is what some tests are about.
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.url("").rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn settings(&self) -> GuardedSettings {
        GuardedSettings {
            private_hosts: vec![format!("{HOST}:{}", self.port())],
            resolver: Arc::clone(&self.names) as Arc<dyn Resolver>,
            ..GuardedSettings::new(Trust::new(&[self.authority.pem()]).unwrap())
        }
    }

    fn url(&self) -> HttpsUrl {
        HttpsUrl::parse(&format!("https://{HOST}:{}/mcp.json", self.port())).unwrap()
    }

    async fn get(&self) -> Result<Fetched, NotFetched> {
        get(&fetcher(&self.settings()), &self.url()).await
    }
}

fn fetcher(settings: &GuardedSettings) -> GuardedFetcher {
    GuardedFetcher::new(settings, Arc::new(TestClock::default()))
}

async fn get(fetcher: &GuardedFetcher, url: &HttpsUrl) -> Result<Fetched, NotFetched> {
    fetcher.get(url, "application/json", LARGEST).await
}

pub(crate) async fn read_head(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn ok(length: usize) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

#[tokio::test]
async fn a_document_is_asked_for_with_nothing_of_ours() {
    let (heads, mut seen) = mpsc::unbounded_channel();
    let scene = Scene::with(move |mut stream| {
        let heads = heads.clone();
        async move {
            let named = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
            heads.send((named, read_head(&mut stream).await)).unwrap();
            stream.write_all(&ok(2)).await.unwrap();
        }
    })
    .await;
    let fetched = scene.get().await.unwrap();
    assert_eq!(
        (fetched.body.as_ref(), fetched.headers["content-type"].as_bytes()),
        (&b"xx"[..], &b"application/json"[..])
    );
    let (named, head) = seen.recv().await.unwrap();
    assert_eq!(named, HOST);
    let mut lines: Vec<_> = head.trim_end().split("\r\n").collect();
    lines.sort_unstable();
    let host = format!("host: {HOST}:{}", scene.port());
    let expected = [
        "GET /mcp.json HTTP/1.1",
        "accept-encoding: identity",
        "accept: application/json",
        &host,
        "user-agent: Sekisho",
    ];
    assert_eq!(lines, expected);
    assert_eq!(scene.names.asked(), 1, "there is no second lookup");
}

/// CM-06, CM-22.
#[tokio::test]
async fn a_host_that_is_not_named_leads_to_the_internet_or_nowhere() {
    let scene = Scene::answering(ok(2)).await;
    let strict = GuardedSettings {
        private_hosts: vec![format!("other.example:{}", scene.port())],
        ..scene.settings()
    };
    let strict = fetcher(&strict);
    assert_eq!(get(&strict, &scene.url()).await.unwrap_err(), NotFetched::Port);
    let other = HttpsUrl::parse(&format!("https://other.example:{}/c", scene.port())).unwrap();
    for addresses in
        [["169.254.169.254"].as_slice(), &["127.0.0.1", "169.254.169.254"], &["::"], &["ff02::1"]]
    {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        scene.names.leads("other.example", &[&addresses]);
        assert_eq!(get(&strict, &other).await.unwrap_err(), NotFetched::Address, "{addresses:?}");
    }
    // On the usual port nothing is named at all.
    for (host, address) in
        [("inside.example", "127.0.0.1"), ("mixed.example", "10.0.0.1"), ("v6.example", "64:ff9b::7f00:1")]
    {
        scene.names.leads(host, &[&["8.8.8.8".parse().unwrap(), address.parse().unwrap()]]);
        let url = HttpsUrl::parse(&format!("https://{host}/c")).unwrap();
        assert_eq!(get(&strict, &url).await.unwrap_err(), NotFetched::Address, "{host}");
    }
    for literal in ["127.0.0.1", "[::1]", "[::ffff:7f00:1]", "10.0.0.1", "169.254.169.254"] {
        let url = HttpsUrl::parse(&format!("https://{literal}/c")).unwrap();
        assert_eq!(get(&strict, &url).await.unwrap_err(), NotFetched::Address, "{literal}");
    }
    assert_eq!(scene.server.connections(), 0);
}

/// CM-06, CM-22.
#[tokio::test]
async fn a_host_that_moves_is_judged_again_and_no_old_connection_is_used() {
    let scene = Scene::with(|mut stream| async move {
        // Would go on for as long as it is asked.
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            stream.write_all(&ok(2)).await.unwrap();
        }
    })
    .await;
    let link: IpAddr = "169.254.169.254".parse().unwrap();
    scene.names.leads(HOST, &[&[HERE], &[link]]);
    let fetcher = fetcher(&scene.settings());
    assert!(get(&fetcher, &scene.url()).await.is_ok());
    assert_eq!(get(&fetcher, &scene.url()).await.unwrap_err(), NotFetched::Address);
    assert_eq!((scene.server.connections(), scene.names.asked()), (1, 2));
}

/// CM-07, CM-08.
#[tokio::test]
async fn only_status_200_is_a_document_and_no_redirect_is_followed() {
    let canary = LyingServer::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    for status in [201, 202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 403, 404, 429, 500, 503] {
        let location = canary.url("/");
        let length = if matches!(status, 204 | 304) { "" } else { "content-length: 0\r\n" };
        let scene =
            Scene::answering(format!("HTTP/1.1 {status} So\r\nlocation: {location}\r\n{length}\r\n")).await;
        assert_eq!(scene.get().await.unwrap_err(), NotFetched::Status(status));
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn what_is_longer_than_allowed_or_compressed_is_refused() {
    assert_eq!(Scene::answering(ok(LARGEST)).await.get().await.unwrap().body.len(), LARGEST);
    assert_eq!(Scene::answering(ok(LARGEST + 1)).await.get().await.unwrap_err(), NotFetched::TooLarge);
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let endless = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", chunk.repeat(9));
    assert_eq!(Scene::answering(endless).await.get().await.unwrap_err(), NotFetched::TooLarge);
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(64 * 1024));
    assert_eq!(Scene::answering(head).await.get().await.unwrap_err(), NotFetched::Unreachable);
    for coding in ["gzip", "br", "identity, gzip", "zstd"] {
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: 2\r\n\r\n{{}}");
        assert_eq!(
            Scene::answering(answer).await.get().await.unwrap_err(),
            NotFetched::Compressed,
            "{coding}"
        );
    }
}

/// Lets the fetch begin in real time, and stops the clock when the server has come to where it is silent.
async fn get_from_silence(scene: &Scene, silent: Arc<Notify>) -> Result<Fetched, NotFetched> {
    let (answer, ()) = tokio::join!(scene.get(), async {
        silent.notified().await;
        tokio::time::pause();
    });
    tokio::time::resume();
    answer
}

/// CM-10.
#[tokio::test]
async fn one_deadline_covers_everything_up_to_the_last_byte() {
    for said in
        ["", "HTTP/1.1 200 OK\r\ncontent-type: app", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nxx"]
    {
        let silent = Arc::new(Notify::new());
        let heard = Arc::clone(&silent);
        let scene = Scene::with(move |mut stream| {
            let heard = Arc::clone(&heard);
            async move {
                read_head(&mut stream).await;
                stream.write_all(said.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                heard.notify_one();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await;
        assert_eq!(get_from_silence(&scene, silent).await.unwrap_err(), NotFetched::TimedOut, "{said:?}");
    }
}

/// CM-10.
#[tokio::test]
async fn a_host_that_never_shakes_hands_or_drips_costs_the_deadline() {
    let silent = Arc::new(Notify::new());
    let heard = Arc::clone(&silent);
    let server = LyingServer::start(move |mut stream, _| {
        let heard = Arc::clone(&heard);
        async move {
            stream.readable().await.unwrap();
            heard.notify_one();
            read_to_end(&mut stream).await;
        }
    })
    .await;
    let scene = Scene { server, authority: Authority::new(), names: Arc::new(Names::default()) };
    scene.names.leads(HOST, &[&[HERE]]);
    assert_eq!(get_from_silence(&scene, silent).await.unwrap_err(), NotFetched::TimedOut);

    let silent = Arc::new(Notify::new());
    let heard = Arc::clone(&silent);
    let dripping = Scene::with(move |mut stream| {
        let heard = Arc::clone(&heard);
        async move {
            read_head(&mut stream).await;
            heard.notify_one();
            for byte in ok(5000) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                let _ = stream.flush().await;
            }
        }
    })
    .await;
    assert_eq!(get_from_silence(&dripping, silent).await.unwrap_err(), NotFetched::TimedOut);
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_not_believed() {
    let scene = Scene::answering(ok(2)).await;
    let other = GuardedSettings { trust: Trust::new(&[Authority::new().pem()]).unwrap(), ..scene.settings() };
    assert_eq!(get(&fetcher(&other), &scene.url()).await.unwrap_err(), NotFetched::Unreachable);
    scene.names.leads("evil.example", &[&[HERE]]);
    let named = vec![format!("evil.example:{}", scene.port())];
    let evil = GuardedSettings { private_hosts: named, ..scene.settings() };
    let url = HttpsUrl::parse(&format!("https://evil.example:{}/c", scene.port())).unwrap();
    assert_eq!(get(&fetcher(&evil), &url).await.unwrap_err(), NotFetched::Unreachable);
}

/// CM-23.
#[tokio::test]
async fn a_thousand_urls_of_one_host_are_a_few_fetches() {
    let scene = Scene::answering(ok(2)).await;
    let fetcher = fetcher(&scene.settings());
    let mut fetched = 0;
    for number in 0..1000 {
        let url = HttpsUrl::parse(&format!("https://{HOST}:{}/{number}", scene.port())).unwrap();
        match get(&fetcher, &url).await {
            Ok(_) => fetched += 1,
            Err(error) => assert_eq!(error, NotFetched::Busy),
        }
    }
    assert_eq!((fetched, scene.server.connections()), (20, 20));
}

fn proxy(server: &LyingServer, no_proxy: &[&str]) -> Option<Proxy> {
    let settings = ProxySettings {
        url: server.url(""),
        credentials: Some(("sekisho".to_owned(), Secret::new("hunter2 hunter2".to_owned()))),
        no_proxy: no_proxy.iter().map(|&entry| entry.to_owned()).collect(),
    };
    Some(Proxy::new(&settings, &Trust::nobody().unwrap()).unwrap())
}

/// CM-25.
#[tokio::test]
async fn a_proxy_is_asked_for_the_address_that_was_judged() {
    let scene = Scene::answering(ok(2)).await;
    let (gate, heads) = honest().await;
    // Inside, but not on this machine: only the proxy can reach it, and leads it here.
    let inside: IpAddr = "10.1.2.3".parse().unwrap();
    scene.names.leads(HOST, &[&[inside]]);
    let settings = GuardedSettings { proxy: proxy(&gate, &[]), ..scene.settings() };
    assert!(get(&fetcher(&settings), &scene.url()).await.is_ok());
    let first = heads.lock().unwrap()[0].clone();
    assert!(first.starts_with(&format!("CONNECT 10.1.2.3:{} HTTP/1.1\r\n", scene.port())), "{first}");
    // An address that may not be named is not the proxy's to judge, and neither is what is exempt from it.
    for no_proxy in [[].as_slice(), &["client.example"], &["10.0.0.0/8"], &["169.254.0.0/16"]] {
        scene.names.leads(HOST, &[&["169.254.169.254".parse().unwrap()]]);
        let settings = GuardedSettings { proxy: proxy(&gate, no_proxy), ..scene.settings() };
        assert_eq!(get(&fetcher(&settings), &scene.url()).await.unwrap_err(), NotFetched::Address);
    }
    // This machine is never asked of the proxy: there it would be its own.
    scene.names.leads(HOST, &[&[HERE]]);
    assert!(get(&fetcher(&settings), &scene.url()).await.is_ok());
    assert_eq!(heads.lock().unwrap().len(), 1);
}

/// CM-25.
#[tokio::test]
async fn a_proxy_that_judges_is_asked_for_names_but_never_for_addresses_unjudged() {
    let scene = Scene::answering(ok(2)).await;
    let (gate, heads) = honest().await;
    let settings = GuardedSettings { proxy: proxy(&gate, &[]), proxy_resolves: true, ..scene.settings() };
    let fetcher = fetcher(&settings);
    assert!(get(&fetcher, &scene.url()).await.is_ok());
    assert_eq!(scene.names.asked(), 0);
    let first = heads.lock().unwrap()[0].clone();
    assert!(first.starts_with(&format!("CONNECT {HOST}:{} HTTP/1.1\r\n", scene.port())), "{first}");
    for literal in ["127.0.0.1", "10.0.0.1", "[::ffff:a00:1]", "169.254.169.254"] {
        let url = HttpsUrl::parse(&format!("https://{literal}/c")).unwrap();
        assert_eq!(get(&fetcher, &url).await.unwrap_err(), NotFetched::Address, "{literal}");
    }
    assert_eq!(heads.lock().unwrap().len(), 1);
}

/// CM-22.
#[tokio::test]
async fn what_fetches_through_an_egress_is_guarded_in_the_same_way() {
    let scene = Scene::answering(ok(2)).await;
    let guarded = fetcher(&scene.settings());
    let limits = Limits { total: Duration::from_secs(60), max_body: 1024 };
    let fetch = |request: Request<Bytes>| guarded.fetch(request, limits);
    let with_cookie = Request::get(scene.url().as_str()).header("cookie", "a=b").body(Bytes::new()).unwrap();
    assert_eq!(fetch(with_cookie).await.unwrap().body().as_ref(), b"xx");
    let post = Request::post(scene.url().as_str()).body(Bytes::from_static(b"{}")).unwrap();
    assert_eq!(fetch(post).await.unwrap_err(), FetchError::Unreachable);
    for url in ["https://127.0.0.1/", "http://client.example/", "https://[::1]/keys"] {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        assert_eq!(fetch(request).await.unwrap_err(), FetchError::Unreachable, "{url}");
    }
    let big = Scene::answering(ok(2000)).await;
    let request = Request::get(big.url().as_str()).body(Bytes::new()).unwrap();
    assert_eq!(fetcher(&big.settings()).fetch(request, limits).await.unwrap_err(), FetchError::TooLarge);
    assert_eq!(scene.server.connections(), 1);
}

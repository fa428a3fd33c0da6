//! The outbound proxy: what it is asked, what it is never asked, and what becomes of a call when it says no.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use protocol::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use upstream::egress::{Egress as _, FetchError, Fetcher, Limits};
use upstream::mcp_server::streamable_http::UpstreamError;
use upstream::proxy::{Proxy, ProxySettings};
use upstream::route::Route;
use upstream::trust::Trust;

use crate::authority::{Authority, SeeingServer};
use crate::lying_server::{LyingServer, read_request, read_to_end};
use crate::route::{client, said};

const PASSWORD: &str = "correct horse battery staple";
/// `sekisho:` and the password in base64.
const SENT: &str = "c2VraXNobzpjb3JyZWN0IGhvcnNlIGJhdHRlcnkgc3RhcGxl";

pub(crate) type Heads = Arc<Mutex<Vec<String>>>;

/// Reads one head, byte by byte: what follows belongs to the tunnel.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Leads every tunnel to the port that is asked for, on this machine: it alone knows the names.
pub(crate) async fn honest() -> (LyingServer, Heads) {
    let heads = Heads::default();
    let kept = Arc::clone(&heads);
    let proxy = LyingServer::start(move |mut stream, _| {
        let heads = Arc::clone(&kept);
        async move {
            let head = read_head(&mut stream).await;
            let port = head.split_whitespace().nth(1).unwrap().rsplit(':').next().unwrap().to_owned();
            heads.lock().unwrap().push(head);
            let mut peer = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            // Whoever hangs up first: that is what some tests are about.
            let _ = copy_bidirectional(&mut stream, &mut peer).await;
        }
    })
    .await;
    (proxy, heads)
}

fn through(proxy: &LyingServer, trust: &Trust) -> Route {
    let settings = ProxySettings {
        url: proxy.url(""),
        credentials: Some(("sekisho".to_owned(), Secret::new(PASSWORD.to_owned()))),
        no_proxy: vec!["direct.example".to_owned()],
    };
    let proxy = Proxy::new(&settings, &Trust::nobody().unwrap()).unwrap();
    Route { proxy: Some(proxy), ..Route::direct(trust) }
}

fn nobody() -> Trust {
    Trust::nobody().unwrap()
}

/// A URL whose host only the proxy can resolve.
fn named(server: &LyingServer) -> String {
    server.url("/mcp").replace("127.0.0.1", "mcp.inside.example")
}

#[tokio::test]
async fn a_peer_in_clear_is_reached_by_a_tunnel_that_alone_carries_the_credential() {
    let (requests, mut seen) = mpsc::unbounded_channel();
    let server = LyingServer::start(move |mut stream, _| {
        let requests = requests.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                requests.send(request).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            }
        }
    })
    .await;
    let (proxy, heads) = honest().await;
    let client = client(named(&server), through(&proxy, &nobody()));
    for _ in 0..3 {
        assert_eq!(said(&client).await.unwrap(), "{}");
        let request = seen.recv().await.unwrap();
        assert!(request.starts_with("POST /mcp HTTP/1.1\r\n"), "{request}");
        assert!(!request.to_ascii_lowercase().contains("proxy-") && !request.contains(SENT), "{request}");
    }
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 1, "a tunnel is used again");
    let port = server.url("").rsplit(':').next().unwrap().to_owned();
    assert!(heads[0].starts_with(&format!("CONNECT mcp.inside.example:{port} HTTP/1.1\r\n")), "{}", heads[0]);
    assert!(heads[0].contains(&format!("\r\nProxy-Authorization: Basic {SENT}\r\n")), "{}", heads[0]);
}

#[tokio::test]
async fn tls_goes_through_the_tunnel_to_the_peer_itself_and_http2_with_it() {
    let authority = Authority::new();
    let server = SeeingServer::start(authority.server("mcp.inside.example", None)).await;
    let (proxy, heads) = honest().await;
    let url = format!("https://mcp.inside.example:{}/mcp", server.address.port());
    let right = through(&proxy, &Trust::new(&[authority.pem()]).unwrap());
    let seen = said(&client(url.clone(), right.clone())).await.unwrap();
    let host = format!("mcp.inside.example:{}", server.address.port());
    assert_eq!(seen, format!("HTTP/2.0 {host} mcp.inside.example none"));
    // The proxy cannot stand in for the peer.
    let stranger = client(url.clone(), through(&proxy, &Trust::new(&[Authority::new().pem()]).unwrap()));
    assert_eq!(said(&stranger).await, Err(UpstreamError::Unreachable));
    let limits = Limits { total: Duration::from_secs(10), max_body: 1024 };
    let fetcher = Fetcher::new(right);
    let fetched = fetcher.fetch(Request::get(&url).body(Bytes::new()).unwrap(), limits).await.unwrap();
    assert!(fetched.body().starts_with(b"HTTP/2.0 "));
    assert_eq!(heads.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_proxy_may_be_behind_tls_itself() {
    let authority = Authority::new();
    let server = LyingServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let (inner, heads) = honest().await;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server("127.0.0.1", None)));
    let target = inner.url("").replace("http://", "");
    let outer = LyingServer::start(move |stream, _| {
        let (acceptor, target) = (acceptor.clone(), target.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut peer = TcpStream::connect(target).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut peer).await;
        }
    })
    .await;
    let route = |trust: &Trust| {
        let url = outer.url("").replace("http:", "https:");
        let settings = ProxySettings { url, credentials: None, no_proxy: Vec::new() };
        Route { proxy: Some(Proxy::new(&settings, trust).unwrap()), ..Route::direct(&nobody()) }
    };
    let known = Trust::new(&[authority.pem()]).unwrap();
    assert_eq!(said(&client(named(&server), route(&known))).await.unwrap(), "{}");
    let stranger = Trust::new(&[Authority::new().pem()]).unwrap();
    assert_eq!(said(&client(named(&server), route(&stranger))).await, Err(UpstreamError::Unreachable));
    assert_eq!(heads.lock().unwrap().len(), 1, "nobody asks a proxy that is not known");
}

#[tokio::test]
async fn events_come_through_the_proxy_one_by_one_and_the_peer_hears_when_we_hang_up() {
    let (events, next) = mpsc::channel::<()>(1);
    let next = Arc::new(tokio::sync::Mutex::new(next));
    let ended = Arc::new(Notify::new());
    let told = Arc::clone(&ended);
    let server = LyingServer::start(move |mut stream, _| {
        let (next, told) = (Arc::clone(&next), Arc::clone(&told));
        async move {
            read_request(&mut stream).await;
            let head =
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).await.unwrap();
            // The next event is sent only when the one before has been seen.
            while next.lock().await.recv().await.is_some() {
                stream.write_all(b"9\r\ndata: 1\n\n\r\n").await.unwrap();
            }
            read_to_end(&mut stream).await;
            told.notify_one();
        }
    })
    .await;
    let (proxy, _) = honest().await;
    let client = client(named(&server), through(&proxy, &nobody()));
    let request = Request::post("/").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    let mut body = client.send(request).await.unwrap().into_body();
    for _ in 0..100 {
        events.send(()).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
    }
    drop((events, body));
    ended.notified().await;
}

#[tokio::test]
async fn a_proxy_that_says_no_is_told_for_what_it_is_and_without_the_credential() {
    for (answer, why) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\n\r\n",
            "authorization",
        ),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\n\r\nno no", "unsuccessful"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "unsuccessful"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\n\r\n", "unsuccessful"),
        ("HTTP/1.1 200", "unexpected end"),
        ("", "unexpected end"),
        ("SSH-2.0-OpenSSH\r\n", "unsuccessful"),
    ] {
        let server = LyingServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let proxy = LyingServer::start(move |mut stream, _| async move {
            read_head(&mut stream).await;
            // Whatever it said before, the client may be gone.
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let client = client(named(&server), through(&proxy, &nobody()));
        assert_eq!(said(&client).await, Err(UpstreamError::Unreachable), "{answer:?}");
        let told = client.check().await.unwrap_err();
        assert!(told.contains("at the outbound proxy: ") && told.contains(why), "{answer:?}: {told}");
        assert!(!told.contains(PASSWORD) && !told.contains(SENT), "{told}");
        assert!(!format!("{client:?}").contains(SENT));
        assert_eq!(server.connections(), 0, "it is not gone around");
    }
}

#[tokio::test]
async fn a_proxy_that_is_away_is_not_gone_around() {
    let server = LyingServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let away = LyingServer::answering("").await.url("");
    let settings = ProxySettings { url: away, credentials: None, no_proxy: Vec::new() };
    let proxy = Proxy::new(&settings, &nobody()).unwrap();
    let route = Route { proxy: Some(proxy), ..Route::direct(&nobody()) };
    let client = client(named(&server), route);
    assert_eq!(said(&client).await, Err(UpstreamError::Unreachable));
    let told = client.check().await.unwrap_err();
    assert!(told.contains("at the outbound proxy: ") && told.contains("refused"), "{told}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_proxy_that_is_silent_costs_the_connect_deadline() {
    let reached = Arc::new(Notify::new());
    let heard = Arc::clone(&reached);
    let proxy = LyingServer::start(move |mut stream, _| {
        let heard = Arc::clone(&heard);
        async move {
            read_head(&mut stream).await;
            heard.notify_one();
            read_to_end(&mut stream).await;
        }
    })
    .await;
    let client = client("http://mcp.inside.example/mcp".to_owned(), through(&proxy, &nobody()));
    let (answer, ()) = tokio::join!(said(&client), async {
        reached.notified().await;
        tokio::time::pause();
    });
    assert_eq!(answer, Err(UpstreamError::Unreachable));
}

/// A document that names our own machine must not make the proxy look at its own.
#[tokio::test]
async fn what_is_near_and_what_is_left_out_never_goes_through_the_proxy() {
    let server = LyingServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let (proxy, heads) = honest().await;
    let route = through(&proxy, &nobody());
    assert_eq!(said(&client(server.url("/mcp"), route.clone())).await.unwrap(), "{}");
    assert_eq!(
        said(&client(server.url("/mcp").replace("127.0.0.1", "localhost"), route.clone())).await.unwrap(),
        "{}"
    );
    let fetcher = Fetcher::new(route);
    let limits = Limits { total: Duration::from_secs(5), max_body: 1024 };
    // Nobody resolves this name here: it fails, and the proxy has not been asked.
    let request = Request::get("http://direct.example/").body(Bytes::new()).unwrap();
    assert_eq!(fetcher.fetch(request, limits).await.unwrap_err(), FetchError::Unreachable);
    assert!(heads.lock().unwrap().is_empty());
    assert_eq!(proxy.connections(), 0);
}

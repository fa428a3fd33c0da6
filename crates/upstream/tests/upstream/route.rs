//! The way to one MCP server: its authority, our certificate, its name, the version of HTTP (issue: networks as they are).

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use upstream::mcp_server::streamable_http::{McpServerClient, McpServerSettings, UpstreamError};
use upstream::route::{Http2, Route, TlsServerName};
use upstream::trust::{Trust, TrustError};

use crate::authority::{Authority, SeeingServer};
use crate::lying_server::LyingServer;

pub(crate) fn client(url: String, route: Route) -> McpServerClient {
    let settings = McpServerSettings {
        url,
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: Duration::from_secs(10),
    };
    McpServerClient::new(&settings, route).unwrap()
}

pub(crate) async fn said(client: &McpServerClient) -> Result<String, UpstreamError> {
    let request = Request::post("/").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    let answer: Response<Incoming> = client.send(request).await?;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_ours_and_nobody_elses() {
    let (theirs, ours, others) = (Authority::new(), Authority::new(), Authority::new());
    let server = SeeingServer::start(theirs.server("127.0.0.1", Some(&ours))).await;
    let url = format!("https://{}/mcp", server.address);
    let plain = Trust::new(&[theirs.pem()]).unwrap();
    let with = |authority: &Authority| {
        let pair = authority.issue("sekisho.example");
        Route::direct(&plain.with_client_certificate(&pair.chain, &pair.key()).unwrap())
    };
    // With TLS 1.3 the refusal comes after the handshake: it must not look like a call that may have been done.
    let missing = client(url.clone(), Route::direct(&plain));
    assert_eq!(said(&missing).await.unwrap_err(), UpstreamError::Unreachable);
    let why = missing.check().await.unwrap_err();
    assert!(why.contains("CertificateRequired"), "{why}");
    let wrong = client(url.clone(), with(&others));
    assert_eq!(said(&wrong).await.unwrap_err(), UpstreamError::Unreachable);
    assert_eq!(server.requests(), 0);
    let right = client(url, with(&ours));
    assert!(said(&right).await.unwrap().ends_with("a certificate"));
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_refused_with_the_reason() {
    let authority = Authority::new();
    let (pair, other) = (authority.issue("a.example"), authority.issue("b.example"));
    let trust = Trust::nobody().unwrap();
    let refused = |chain: &[u8], key| trust.with_client_certificate(chain, &key).unwrap_err();
    assert!(matches!(refused(b"", pair.key()), TrustError::ClientCertificate));
    let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert!(matches!(refused(broken, pair.key()), TrustError::ClientCertificate));
    let no_certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(refused(no_certificate, pair.key()), TrustError::ClientCertificate));
    let none = protocol::secret::Secret::new("no key".to_owned());
    assert!(matches!(refused(&pair.chain, none), TrustError::ClientKey));
    assert!(matches!(refused(&pair.chain, other.key()), TrustError::ClientKeyOfAnother));
}

#[test]
fn two_are_the_same_only_if_all_certificates_and_keys_are() {
    let (one, other) = (Authority::new(), Authority::new());
    let trust = |authority: &Authority| Trust::new(&[authority.pem()]).unwrap();
    assert_eq!(trust(&one), trust(&one));
    assert_ne!(trust(&one), trust(&other));
    assert_ne!(trust(&one), Trust::new(&[one.pem(), other.pem()]).unwrap());
    assert_ne!(Trust::nobody().unwrap(), Trust::new(&[]).unwrap());
    let (pair, next) = (one.issue("a.example"), one.issue("a.example"));
    let shows = |pair: &crate::authority::Pair| {
        trust(&one).with_client_certificate(&pair.chain, &pair.key()).unwrap()
    };
    assert_eq!(shows(&pair), shows(&pair));
    assert_ne!(shows(&pair), shows(&next));
    assert_ne!(shows(&pair), trust(&one));
}

#[tokio::test]
async fn the_name_that_is_told_is_asked_for_and_verified_in_place_of_the_hosts() {
    let authority = Authority::new();
    let server = SeeingServer::start(authority.server("mcp.inside.example", None)).await;
    let url = format!("https://{}/mcp", server.address);
    let trust = Trust::new(&[authority.pem()]).unwrap();
    let named = |name: &str| Route {
        tls_server_name: Some(TlsServerName::parse(name).unwrap()),
        ..Route::direct(&trust)
    };
    assert_eq!(said(&client(url.clone(), Route::direct(&trust))).await, Err(UpstreamError::Unreachable));
    let right = said(&client(url.clone(), named("mcp.inside.example"))).await.unwrap();
    // The server sees the host of the URL in the request, as without the setting.
    assert_eq!(right, format!("HTTP/2.0 {} mcp.inside.example none", server.address));
    let wrong = client(url, named("other.inside.example"));
    assert_eq!(said(&wrong).await, Err(UpstreamError::Unreachable));
    let why = wrong.check().await.unwrap_err();
    assert!(why.contains("certificate not valid for name"), "{why}");
    assert!(TlsServerName::parse("not a name").is_err() && TlsServerName::parse("").is_err());
}

#[tokio::test]
async fn an_unknown_authority_is_told_for_what_it_is() {
    let (one, other) = (Authority::new(), Authority::new());
    let server = SeeingServer::start(one.server("127.0.0.1", None)).await;
    let trust = Trust::new(&[other.pem()]).unwrap();
    let client = client(format!("https://{}/mcp", server.address), Route::direct(&trust));
    assert_eq!(said(&client).await, Err(UpstreamError::Unreachable));
    let why = client.check().await.unwrap_err();
    assert!(why.contains("UnknownIssuer"), "{why}");
}

#[tokio::test]
async fn http2_is_negotiated_over_tls_unless_it_is_off() {
    let authority = Authority::new();
    let server = SeeingServer::start(authority.server("127.0.0.1", None)).await;
    let trust = Trust::new(&[authority.pem()]).unwrap();
    for (http2, version) in [(Http2::Auto, "HTTP/2.0"), (Http2::Off, "HTTP/1.1")] {
        let route = Route { http2, ..Route::direct(&trust) };
        let seen = said(&client(format!("https://{}/mcp", server.address), route)).await.unwrap();
        assert!(seen.starts_with(version), "{http2:?}: {seen}");
    }
}

/// Speaks HTTP/2 in clear and nothing else.
async fn h2c_server(tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut running = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            running.spawn(async move {
                let service = service_fn(async |request: Request<Incoming>| {
                    let version = format!("{:?}", request.version());
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(version))))
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn http2_in_clear_is_spoken_only_when_told() {
    let mut tasks = JoinSet::new();
    let url = h2c_server(&mut tasks).await;
    let nobody = Trust::nobody().unwrap();
    let told = Route { http2: Http2::PriorKnowledge, ..Route::direct(&nobody) };
    assert_eq!(said(&client(url.clone(), told)).await.unwrap(), "HTTP/2.0");
    assert!(said(&client(url, Route::direct(&nobody))).await.is_err());
    let old = LyingServer::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let untold = client(old.url("/mcp"), Route::direct(&nobody));
    assert_eq!(said(&untold).await.unwrap(), "{}", "HTTP/1.1 is what an http URL gets");
    let request = Request::post("/").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(untold.send(request).await.unwrap().status(), StatusCode::OK);
}

//! Certificates: the operator's own root is believed if it is named, and nobody else's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use upstream::egress::{Egress as _, FetchError, Fetcher, Limits};
use upstream::mcp_server::streamable_http::{McpServerClient, McpServerSettings, UpstreamError};
use upstream::trust::{Trust, TrustError};

use crate::lying_server::{LyingServer, read_to_end};
use crate::world::trust;

/// A server whose certificate is for 127.0.0.1, signed by a root of its own; it speaks HTTP/2.
struct TlsServer {
    url: String,
    root_pem: String,
    _tasks: JoinSet<()>,
}

impl TlsServer {
    async fn start() -> Self {
        let (root_pem, config) = identity("127.0.0.1");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/mcp", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let service = service_fn(async |request: Request<hyper::body::Incoming>| {
                    let version = if request.version() == Version::HTTP_2 { "2" } else { "1" };
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(version))))
                });
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        });
        Self { url, root_pem, _tasks: tasks }
    }
}

fn identity(name: &str) -> (String, rustls::ServerConfig) {
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (root.pem(), config)
}

async fn fetch(url: &str, trust: &Trust) -> Result<Response<Bytes>, FetchError> {
    let limits = Limits { total: Duration::from_secs(10), max_body: 1024 };
    Fetcher::new(trust).fetch(Request::get(url).body(Bytes::new()).unwrap(), limits).await
}

#[tokio::test]
async fn a_root_of_the_operators_own_is_believed_when_it_is_named() {
    let server = TlsServer::start().await;
    assert_eq!(fetch(&server.url, trust()).await.unwrap_err(), FetchError::Unreachable);
    let named = Trust::new(&[server.root_pem.clone().into_bytes()]).unwrap();
    let answer = fetch(&server.url, &named).await.unwrap();
    assert_eq!(answer.body().as_ref(), b"2", "HTTP/2 is negotiated");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_believed() {
    let server = TlsServer::start().await;
    let named = Trust::new(&[server.root_pem.clone().into_bytes()]).unwrap();
    let url = server.url.replace("127.0.0.1", "localhost");
    assert_eq!(fetch(&url, &named).await.unwrap_err(), FetchError::Unreachable);
}

#[tokio::test]
async fn an_mcp_server_is_verified_in_the_same_way() {
    let server = TlsServer::start().await;
    let settings = McpServerSettings {
        url: server.url.clone(),
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: Duration::from_secs(10),
    };
    let request = || Request::post("/").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    let stranger = McpServerClient::new(&settings, trust()).unwrap();
    assert_eq!(stranger.send(request()).await.unwrap_err(), UpstreamError::Unreachable);
    let named = Trust::new(&[server.root_pem.clone().into_bytes()]).unwrap();
    let client = McpServerClient::new(&settings, &named).unwrap();
    let answer = client.send(request()).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_costs_the_connect_deadline() {
    let reached = Arc::new(Notify::new());
    let heard = Arc::clone(&reached);
    let server = LyingServer::start(move |mut stream, _| {
        let heard = Arc::clone(&heard);
        async move {
            stream.readable().await.unwrap();
            heard.notify_one();
            read_to_end(&mut stream).await;
        }
    })
    .await;
    let settings = McpServerSettings {
        url: server.url("/mcp").replace("http:", "https:"),
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: Duration::from_secs(3600),
    };
    let client = McpServerClient::new(&settings, trust()).unwrap();
    let request = Request::post("/").body(Full::new(Bytes::new())).unwrap();
    let (answer, ()) = tokio::join!(client.send(request), async {
        reached.notified().await;
        tokio::time::pause();
    });
    assert_eq!(answer.unwrap_err(), UpstreamError::Unreachable);
}

#[test]
fn a_file_without_a_certificate_is_refused() {
    let not_a_root = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "no pem at all", "-----BEGIN CERTIFICATE-----\n!", not_a_root] {
        let refused = Trust::new(&[pem.as_bytes().to_vec()]).unwrap_err();
        assert!(matches!(refused, TrustError::Certificate), "{pem:?}");
    }
}

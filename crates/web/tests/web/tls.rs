//! TLS at the doors: what is negotiated, which certificate is shown, and its exchange.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use protocol::secret::Secret;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use web::{Certificates, ConnectionLimits, Identity, Listener, Tls, TlsError};

use crate::house::House;
use crate::listeners::{Served, get, serve_as};

struct Made {
    identity: Identity,
    certificate: CertificateDer<'static>,
    pem: (String, String),
}

fn made(names: &[&str]) -> Made {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let pem = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(pem.0.as_bytes(), &Secret::new(pem.1.clone())).unwrap();
    Made { identity, certificate: made.cert.der().clone(), pem }
}

async fn serve(limits: ConnectionLimits, made: &[&Made]) -> (Served, Arc<Certificates>, House) {
    let certificates = Arc::new(Certificates::default());
    certificates.replace(made.iter().map(|made| made.identity.clone()).collect());
    let tls = Tls::new(Arc::clone(&certificates)).unwrap();
    let (served, house) =
        serve_as(limits, |socket| Listener { tls: Some(tls), ..Listener::from(socket) }).await;
    (served, certificates, house)
}

/// Somebody who believes these certificates and offers these protocols.
async fn connect(
    served: &Served,
    (name, alpn): (&str, &[&str]),
    believed: &[&Made],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for made in believed {
        roots.add(made.certificate.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = if alpn.contains(&"h2") { rustls::ALL_VERSIONS } else { &[&rustls::version::TLS12][..] };
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, served.connect().await).await
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn http_1_and_http_2_are_negotiated() {
    let one = made(&["mcp.example.com"]);
    let (served, _certificates, _house) = serve(ConnectionLimits::default(), &[&one]).await;
    for alpn in [&[][..], &["http/1.1"]] {
        let mut stream = connect(&served, ("mcp.example.com", alpn), &[&one]).await.unwrap();
        stream.write_all(&get("/healthz", "")).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let stream = connect(&served, ("mcp.example.com", &["h2", "http/1.1"]), &[&one]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = http::Request::get("http://127.0.0.1:8080/healthz").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_certificate_of_the_name_that_is_asked_for_is_shown_and_the_first_to_all_others() {
    let (first, second, wild) =
        (made(&["mcp.example.com"]), made(&["id.example.com"]), made(&["*.example.org"]));
    let all = [&first, &second, &wild];
    let (served, _certificates, _house) = serve(ConnectionLimits::default(), &all).await;
    for (name, made) in [("mcp.example.com", &first), ("ID.example.com", &second), ("a.example.org", &wild)] {
        let stream = connect(&served, (name, &["h2"]), &all).await.unwrap();
        assert_eq!(shown(&stream), made.certificate, "{name}");
    }
    let other = connect(&served, ("other.example", &["h2"]), &all).await.unwrap_err();
    assert!(other.to_string().contains("mcp.example.com"), "it is shown the first: {other}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_whoever_comes_next_and_open_connections_go_on() {
    let (old, new) = (made(&["mcp.example.com"]), made(&["mcp.example.com"]));
    let (served, certificates, _house) = serve(ConnectionLimits::default(), &[&old]).await;
    let mut before = connect(&served, ("mcp.example.com", &[]), &[&old]).await.unwrap();
    certificates.replace(vec![new.identity.clone()]);
    assert!(connect(&served, ("mcp.example.com", &["h2"]), &[&old]).await.is_err());
    let after = connect(&served, ("mcp.example.com", &["h2"]), &[&new]).await.unwrap();
    assert_eq!(shown(&after), new.certificate);
    before.write_all(&get("/healthz", "")).await.unwrap();
    let mut answer = String::new();
    before.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_proof_is_shown_to_a_certificate_authority_and_to_nobody_else() {
    let (usual, proof) = (made(&["mcp.example.com"]), made(&["mcp.example.com"]));
    let (served, certificates, _house) = serve(ConnectionLimits::default(), &[&usual]).await;
    let authority = ("mcp.example.com", &["acme-tls/1"][..]);
    assert!(connect(&served, authority, &[&usual, &proof]).await.is_err(), "nothing is being proven");
    certificates.prove([("mcp.example.com".to_owned(), proof.identity.clone())].into());
    let mut stream = connect(&served, authority, &[&proof]).await.unwrap();
    assert_eq!(shown(&stream), proof.certificate);
    drop(stream.write_all(&get("/healthz", "")).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    assert!(answer.is_empty(), "it is not spoken HTTP with");
    let other = connect(&served, ("mcp.example.com", &["http/1.1"]), &[&usual]).await.unwrap();
    assert_eq!(shown(&other), usual.certificate);
}

#[tokio::test]
async fn whoever_does_not_agree_on_tls_in_time_is_let_go_and_others_are_served() {
    let one = made(&["mcp.example.com"]);
    let limits =
        ConnectionLimits { header_timeout: Duration::from_millis(200), ..ConnectionLimits::default() };
    let (served, _certificates, _house) = serve(limits, &[&one]).await;
    let mut slow = served.connect().await;
    slow.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    let mut plain = served.connect().await;
    plain.write_all(&get("/healthz", "")).await.unwrap();
    assert!(connect(&served, ("mcp.example.com", &["h2"]), &[&one]).await.is_ok());
    for stream in [&mut slow, &mut plain] {
        let mut said = Vec::new();
        drop(stream.read_to_end(&mut said).await);
        assert!(!said.starts_with(b"HTTP/"), "{said:?}");
    }
}

#[test]
fn what_cannot_be_used_says_why() {
    let (one, other) = (made(&["a.example"]).pem, made(&["b.example"]).pem);
    let of = |chain: &str, key: &str| {
        Identity::from_pem(chain.as_bytes(), &Secret::new(key.to_owned())).map(drop).unwrap_err()
    };
    assert_eq!(of(&one.0, &other.1), TlsError::Mismatch);
    assert_eq!(of("", &one.1), TlsError::Certificate);
    assert_eq!(of(&one.1, &one.1), TlsError::Certificate);
    assert_eq!(of(&one.0[..200], &one.1), TlsError::Certificate);
    assert_eq!(of(&one.0, &one.0), TlsError::Key);
    assert_eq!(of(&one.0, ""), TlsError::Key);
}

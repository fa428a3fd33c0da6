//! The ways outward, in the whole binary: an authority and a certificate for one MCP server, and the outbound proxy.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use testkit::browser::Browser;
use testkit::client::{LOOPBACK_REDIRECT, TestClient};
use testkit::http::{Answer, request};
use testkit::mcp_server::FakeMcpServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::process::{Folder, Running, http, text};

const REFUSED: &str = "the last good one stays in use";
const TAKEN: &str = "was read again and is in use";
const PASSWORD: &str = "c4n4ry-of-the-proxy";
/// `sekisho:` and the password in base64.
const SENT: &str = "c2VraXNobzpjNG40cnktb2YtdGhlLXByb3h5";

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (leaf, key)
    }

    /// What a server shows, and whom it lets in: both of this authority.
    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let (leaf, key) = self.issue(name);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            );
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }

    /// Writes `ca.pem`, `client.pem` and `client.key`.
    fn write(&self, folder: &Folder) {
        std::fs::write(folder.path("ca.pem"), self.0.pem()).unwrap();
        let (leaf, key) = self.issue("sekisho.example");
        std::fs::write(folder.path("client.pem"), leaf.pem()).unwrap();
        private(folder, "client.key", &key.serialize_pem());
    }
}

fn private(folder: &Folder, name: &str, text: &str) {
    std::fs::write(folder.path(name), text).unwrap();
    mode(folder, name, 0o600);
}

fn mode(folder: &Folder, name: &str, mode: u32) {
    std::fs::set_permissions(folder.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

/// TLS in front of an MCP server, which may become another one's.
struct Gate {
    address: SocketAddr,
    state: Arc<Mutex<(TlsAcceptor, JoinSet<()>)>>,
    _accepting: JoinSet<()>,
}

impl Gate {
    async fn open(server: &FakeMcpServer, acceptor: TlsAcceptor) -> Self {
        let behind = server.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((acceptor, JoinSet::new())));
        let kept = Arc::clone(&state);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut state = kept.lock().unwrap();
                let (acceptor, behind) = (state.0.clone(), behind.clone());
                state.1.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut peer = TcpStream::connect(behind).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut peer).await;
                });
            }
        });
        Self { address, state, _accepting: accepting }
    }

    /// Shows another certificate from now on; nobody stays.
    fn exchange(&self, acceptor: TlsAcceptor) {
        *self.state.lock().unwrap() = (acceptor, JoinSet::new());
    }
}

async fn bearer(folder: &Folder) -> String {
    let http = http();
    let client = TestClient::register(&http, &folder.issuer, LOOPBACK_REDIRECT).await.unwrap();
    let mut browser = Browser::new(http);
    let tokens = client.obtain_tokens(&mut browser, "alice", &folder.resource()).await.unwrap();
    format!("Bearer {}", tokens["access_token"].as_str().unwrap())
}

async fn call(folder: &Folder, bearer: &str) -> Answer {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
    let headers = [
        ("authorization", bearer),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];
    http().post(&folder.resource(), &headers, body).await.unwrap()
}

fn reload(running: &Running, sign: &str) {
    running.send("-HUP");
    running.says(sign);
}

/// The same paths with other contents: what is believed and what is shown are exchanged without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_the_new_contents_of_authorities_and_of_the_client_certificate() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let server = FakeMcpServer::start().await.unwrap();
    let gate = Gate::open(&server, first.acceptor("mcp.inside.example")).await;
    let folder = Folder::new(&format!("https://{}/mcp", gate.address));
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let tls = "ca_file = \"ca.pem\"\nclient_certificate_file = \"client.pem\"\nclient_key_file = \"client.key\"\n\
               tls_server_name = \"mcp.inside.example\"\n";
    std::fs::write(folder.config(), format!("{config}{tls}")).unwrap();
    first.write(&folder);
    let running = folder.serve();
    let bearer = bearer(&folder).await;
    assert_eq!(call(&folder, &bearer).await.status, StatusCode::OK);

    gate.exchange(second.acceptor("mcp.inside.example"));
    assert_eq!(
        call(&folder, &bearer).await.status,
        StatusCode::BAD_GATEWAY,
        "nobody knows the second one yet"
    );
    // What cannot be used changes nothing.
    first.write(&folder);
    private(&folder, "client.key", &KeyPair::generate().unwrap().serialize_pem());
    reload(&running, REFUSED);
    second.write(&folder);
    mode(&folder, "client.key", 0o644);
    reload(&running, REFUSED);
    mode(&folder, "client.key", 0o600);
    reload(&running, TAKEN);
    assert_eq!(call(&folder, &bearer).await.status, StatusCode::OK);
    let said = text(&folder.run(&["check"]).stdout);
    assert!(said.contains("ok    MCP server notes"), "{said}");
}

/// Every tunnel that was asked for, and how they are answered.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    refusal: Arc<Mutex<Option<&'static str>>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, refusal) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
        let (kept, answer) = (Arc::clone(&heads), Arc::clone(&refusal));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut running = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let refusal = *answer.lock().unwrap();
                running.spawn(tunnel(stream, Arc::clone(&kept), refusal));
            }
        });
        Self { address, heads, refusal, _accepting: accepting }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn tunnel(mut stream: TcpStream, heads: Arc<Mutex<Vec<String>>>, refusal: Option<&'static str>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let port = head.split_whitespace().nth(1).unwrap().rsplit(':').next().unwrap().to_owned();
    heads.lock().unwrap().push(head);
    if let Some(refusal) = refusal {
        stream.write_all(refusal.as_bytes()).await.unwrap();
        return;
    }
    let mut peer = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut peer).await;
}

/// A house whose MCP server is known by a name that only the proxy resolves.
fn behind(proxy: &Proxy, server: &FakeMcpServer) -> Folder {
    let folder = Folder::new(&server.url.replace("127.0.0.1", "mcp.inside.example"));
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let section = format!(
        "[outbound_proxy]\nurl = \"http://{}\"\nusername = \"sekisho\"\npassword_file = \"proxy.password\"\n",
        proxy.address
    );
    std::fs::write(folder.config(), format!("{config}{section}")).unwrap();
    private(&folder, "proxy.password", PASSWORD);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_streams_go_through_the_proxy_whose_password_is_told_to_nobody_else() {
    let server = FakeMcpServer::start().await.unwrap();
    let proxy = Proxy::start().await;
    let folder = behind(&proxy, &server);
    let running = folder.serve_talking();
    let bearer = bearer(&folder).await;
    assert_eq!(call(&folder, &bearer).await.status, StatusCode::OK);
    let headers = [("authorization", bearer.as_str()), ("accept", "text/event-stream")];
    let asked = request(Method::GET, &folder.resource(), &headers, Bytes::new()).unwrap();
    let mut answer = http().stream(asked).await.unwrap().into_body();
    let stream = server.next_stream().await;
    for _ in 0..10 {
        assert!(stream.send("data: {}\n\n"));
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "data: {}\n\n");
    }
    drop(answer);
    stream.closed().await;
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    for head in &heads {
        assert!(head.starts_with("CONNECT mcp.inside.example:"), "{head}");
        assert!(head.contains(&format!("Proxy-Authorization: Basic {SENT}\r\n")), "{head}");
    }
    for call in server.received() {
        assert!(call.header("proxy-authorization").is_empty());
    }
    let check = folder.run(&["check"]);
    let said = text(&check.stdout);
    let way = format!("reached through the outbound proxy http://{}", proxy.address);
    assert!(said.contains("ok    MCP server notes") && said.contains(&way), "{said}");
    refuse_and_keep_silent(&proxy, &folder, &bearer).await;
    running.send("-TERM");
    let (_, log) = running.ended();
    for secret in [PASSWORD, SENT] {
        assert!(!log.contains(secret) && !said.contains(secret));
    }
}

async fn refuse_and_keep_silent(proxy: &Proxy, folder: &Folder, bearer: &str) {
    for refusal in ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTP/1.1 403 Forbidden\r\n\r\n"] {
        *proxy.refusal.lock().unwrap() = Some(refusal);
        let before = proxy.heads().len();
        // A line that is still open is used before another one is asked for.
        while proxy.heads().len() == before {
            let answer = call(folder, bearer).await;
            assert!(!answer.text().contains(SENT) && !answer.text().contains(PASSWORD));
        }
        assert_eq!(call(folder, bearer).await.status, StatusCode::BAD_GATEWAY);
        let check = folder.run(&["check"]);
        let said = text(&check.stdout);
        assert!(said.contains("BAD   MCP server notes") && said.contains("at the outbound proxy"), "{said}");
        assert!(!said.contains(PASSWORD) && !said.contains(SENT), "{said}");
    }
    *proxy.refusal.lock().unwrap() = None;
    assert_eq!(call(folder, bearer).await.status, StatusCode::OK, "it passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_a_new_password_and_an_mcp_server_may_go_its_own_way() {
    let server = FakeMcpServer::start().await.unwrap();
    let proxy = Proxy::start().await;
    let folder = behind(&proxy, &server);
    let running = folder.serve();
    let bearer = bearer(&folder).await;
    assert_eq!(call(&folder, &bearer).await.status, StatusCode::OK);
    private(&folder, "proxy.password", "another password");
    reload(&running, TAKEN);
    assert_eq!(call(&folder, &bearer).await.status, StatusCode::OK);
    assert!(!proxy.heads().last().unwrap().contains(SENT));
    // Straight there, where nobody resolves the name.
    let config = std::fs::read_to_string(folder.config()).unwrap();
    let off = config.replace("access =", "outbound_proxy = \"off\"\naccess =");
    std::fs::write(folder.config(), &off).unwrap();
    reload(&running, TAKEN);
    let asked = proxy.heads().len();
    assert_eq!(call(&folder, &bearer).await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(proxy.heads().len(), asked);
    // And through one of its own.
    let own = Proxy::start().await;
    let section = format!("[mcp_server.outbound_proxy]\nurl = \"http://{}\"\n[outbound_proxy]", own.address);
    std::fs::write(folder.config(), config.replace("[outbound_proxy]", &section)).unwrap();
    reload(&running, TAKEN);
    assert_eq!(call(&folder, &bearer).await.status, StatusCode::OK);
    assert_eq!((own.heads().len(), proxy.heads().len()), (1, asked));
    assert!(!own.heads()[0].contains("Proxy-Authorization"), "the password is for the other one");
}

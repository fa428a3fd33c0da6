//! Certificates by ACME, against Let's Encrypt's own test server.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::{Folder, Running, mode};

const NAME: &str = "mcp.example.com";
/// 32 bytes in base64url, as Pebble wants them.
const MAC_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

fn free_port() -> u16 {
    // Free now; nothing else on this machine is likely to take it before it is used.
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An authority, and the names it resolves: all of them are this machine.
struct Authority {
    folder: TempDir,
    directory_url: String,
    tls_port: u16,
    http_port: u16,
    _processes: [Process; 2],
}

#[expect(clippy::print_stderr, reason = "that a test was not run must be heard")]
fn is_installed() -> bool {
    let there =
        Command::new("pebble").arg("-version").stderr(Stdio::null()).stdout(Stdio::null()).status().is_ok();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "pebble is not installed, and CI skips nothing");
        eprintln!("\n!! NOT RUN: `pebble` is not installed (`cargo xtask test --install`) !!\n");
    }
    there
}

/// Whoever is asked for a name says that it is this machine.
fn names(dns: u16, management: u16) -> Process {
    let names = Command::new("pebble-challtestsrv")
        .args([
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv6",
            "",
            "-defaultIPv4",
            "127.0.0.1",
        ])
        .args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{management}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Process(names.unwrap())
}

impl Authority {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let [acme, management, dns, dns_management, tls_port, http_port] = [(); 6].map(|()| free_port());
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("ca.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("ca.pem"),
            "privateKey": path("key.pem"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": true,
            "externalAccountMACKeys": { "kid-1": MAC_KEY },
        }});
        std::fs::write(path("pebble.json"), config.to_string()).unwrap();
        let names = names(dns, dns_management);
        let mut pebble = Command::new("pebble")
            .arg("-config")
            .arg(path("pebble.json"))
            .args(["-strict", "-dnsserver", &format!("127.0.0.1:{dns}")])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(pebble.stdout.take().unwrap()).lines();
        while !lines.next().unwrap().unwrap().contains("ACME directory available") {}
        // Read on, so that it never waits for somebody to listen.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            folder,
            directory_url: format!("https://localhost:{acme}/dir"),
            tls_port,
            http_port,
            _processes: [Process(pebble), names],
        }
    }

    /// A house that wants a certificate from it.
    fn house(&self, challenge: &str, listeners: &str) -> Folder {
        let house = Folder::new("http://127.0.0.1:9/mcp");
        std::fs::copy(self.folder.path().join("ca.pem"), house.path("ca.pem")).unwrap();
        let key = house.path("mac.key");
        std::fs::write(&key, MAC_KEY).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let config = std::fs::read_to_string(house.path("sekisho.toml")).unwrap();
        let more = format!(
            r#"
{listeners}
[acme]
terms_of_service_agreed = true
directory_url = "{}"
contact = ["mailto:ops@example.com"]
names = ["{NAME}"]
challenge = "{challenge}"
ca_file = "ca.pem"
eab_key_id = "kid-1"
eab_hmac_key_file = "mac.key"
"#,
            self.directory_url
        );
        std::fs::write(house.path("sekisho.toml"), config + &more).unwrap();
        house
    }
}

/// Asks a house for its health over TLS; its certificate must be the one in its folder.
async fn is_alive(folder: &Path, port: u16) {
    let pem = std::fs::read(folder.join("acme/certificate.pem")).unwrap();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect();
    let mut roots = RootCertStore::empty();
    roots.add(chain[1].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], chain[0]);
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: mcp.example.com\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

fn stop(running: Running) {
    running.send("-TERM");
    let (code, said) = running.ended();
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_certificate_is_had_by_tls_alpn_01_and_kept_over_a_restart_without_the_authority() {
    if !is_installed() {
        return;
    }
    let authority = Authority::start();
    let port = authority.tls_port;
    let listener = format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\ntls = {{ acme = true }}\n");
    let house = authority.house("tls-alpn-01", &listener);
    let running = house.serve();
    running.says("a new certificate is shown");
    is_alive(house.folder.path(), port).await;
    for file in std::fs::read_dir(house.path("acme")).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    assert_eq!(mode(&house.path("acme")), 0o700);
    stop(running);
    drop(authority);
    let running = house.serve();
    is_alive(house.folder.path(), port).await;
    stop(running);
}

#[tokio::test]
async fn a_certificate_is_had_by_http_01_and_a_refusal_is_told_in_words() {
    if !is_installed() {
        return;
    }
    let authority = Authority::start();
    let (http, https) = (authority.http_port, free_port());
    let tls = format!("[[listener]]\naddress = \"127.0.0.1:{https}\"\ntls = {{ acme = true }}\n");
    let clear = format!("[[listener]]\naddress = \"127.0.0.1:{http}\"\nserves = []\n");

    let unreachable = authority.house("http-01", &tls);
    let running = unreachable.serve();
    running.says("the certificate authority refused: mcp.example.com: ");
    stop(running);

    let house = authority.house("http-01", &format!("{clear}{tls}"));
    let running = house.serve();
    running.says("a new certificate is shown");
    is_alive(house.folder.path(), https).await;
    stop(running);
}

//! The hosts of client ID metadata documents, over TLS with an authority of their own: they say what a test tells them to,
//! lie, hang, redirect, and move.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use upstream::guarded::{GuardedSettings, Resolver};
use upstream::trust::Trust;

use crate::house::Built;

/// The hosts whose certificates are good.
pub const HOSTS: [&str; 6] =
    ["localhost", "client.example", "other.example", "chatgpt.com", "claude.ai", "vscode.dev"];

/// What is said to one request.
#[derive(Clone, Debug)]
pub enum Said {
    /// These bytes, and then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes, and then nothing for as long as the other side bears it.
    Hang(Vec<u8>),
}

/// The hosts, on one port of this machine.
#[derive(Debug)]
pub struct DocumentHost {
    /// The certificate of the authority, in PEM.
    authority: Vec<u8>,
    port: u16,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    names: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    said: Mutex<HashMap<String, Vec<Said>>>,
    requests: Mutex<Vec<String>>,
    connections: Mutex<usize>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// An answer with this status and these lines of the head.
#[must_use]
pub fn answer(status: u16, head: &str, body: &str) -> Said {
    let length = if matches!(status, 204 | 304) {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    Said::Bytes(format!("HTTP/1.1 {status} So\r\n{head}{length}\r\n{body}").into_bytes())
}

/// A document, as a good host gives it.
#[must_use]
pub fn json(document: &Value) -> Said {
    answer(200, "content-type: application/json\r\n", &document.to_string())
}

impl DocumentHost {
    /// Hosts that know no document yet.
    pub async fn start() -> Built<Arc<Self>> {
        let mut root = CertificateParams::new(Vec::new()).map_err(text)?;
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().map_err(text)?).map_err(text)?;
        let key = KeyPair::generate().map_err(text)?;
        let names: Vec<String> = HOSTS.iter().map(|&host| host.to_owned()).collect();
        let leaf = CertificateParams::new(names).map_err(text)?.signed_by(&key, &root).map_err(text)?;
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(text)?
                .with_no_client_auth()
                .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der())?)
                .map_err(text)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(text)?;
        let port = listener.local_addr().map_err(text)?.port();
        let state = Arc::new(State::default());
        for host in HOSTS {
            locked(&state.names).insert(host.to_owned(), vec![vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]]);
        }
        let (mut tasks, served) = (JoinSet::new(), Arc::clone(&state));
        tasks.spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *locked(&served.connections) += 1;
                running.spawn(serve(stream, acceptor.clone(), Arc::clone(&served)));
            }
        });
        Ok(Arc::new(Self { authority: root.pem().into_bytes(), port, state, _tasks: tasks }))
    }

    /// The certificate of their authority, in PEM.
    pub fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// The URL of a document at the usual host.
    pub fn url(&self, path: &str) -> String {
        self.url_at("client.example", path)
    }

    /// The URL of a document at one of the hosts.
    pub fn url_at(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    /// What is said at a path from now on: one after the other, and the last of it for ever.
    pub fn says(&self, path: &str, said: &[Said]) {
        locked(&self.state.said).insert(path.to_owned(), said.iter().rev().cloned().collect());
    }

    /// Where a name leads from now on: one after the other, and the last of it for ever.
    pub fn leads(&self, host: &str, to: &[&[&str]]) {
        let parse = |texts: &&[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect();
        locked(&self.state.names).insert(host.to_owned(), to.iter().rev().map(parse).collect());
    }

    /// The paths that were asked for.
    pub fn requests(&self) -> Vec<String> {
        locked(&self.state.requests).clone()
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        *locked(&self.state.connections)
    }

    /// The settings of a fetcher that finds these hosts and believes them.
    pub fn settings(&self) -> Built<GuardedSettings> {
        let trust = Trust::new(std::slice::from_ref(&self.authority)).map_err(text)?;
        Ok(GuardedSettings {
            private_hosts: HOSTS.iter().map(|host| format!("{host}:{}", self.port)).collect(),
            resolver: Arc::new(Names(Arc::clone(&self.state))),
            ..GuardedSettings::new(trust)
        })
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    locked(&state.requests).push(path.clone());
    let said = match locked(&state.said).get_mut(&path) {
        Some(said) if said.len() > 1 => said.pop(),
        Some(said) => said.last().cloned(),
        None => None,
    };
    // The other side may be gone: that is what some tests are about.
    match said.unwrap_or_else(|| answer(404, "", "")) {
        Said::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Said::Hang(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }
}

/// The names that the hosts know. No other is resolved: tests ask nobody else.
#[derive(Debug)]
struct Names(Arc<State>);

impl Resolver for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let mut names = locked(&self.0.names);
        let found = match names.get_mut(host) {
            Some(answers) if answers.len() > 1 => answers.pop(),
            Some(answers) => answers.last().cloned(),
            None => None,
        };
        Box::pin(async move { found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)) })
    }
}

//! The one way outward: GET at the issuer, bounded in time and size, over TLS with the platform's roots.
//!
//! No redirects are followed: whoever answers for the issuer answers there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use serde::de::DeserializeOwned;

/// Longer than the feed may wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// The feed tells at most 3 MiB of entries at once.
const LARGEST: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("Sekisho was not reached")]
    Unreachable,
    #[error("Sekisho answered {0}")]
    Status(StatusCode),
    #[error("what Sekisho answered is not what was asked for")]
    Malformed,
    #[error("TLS cannot be used: {0}")]
    Tls(String),
}

pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl HttpClient {
    pub(crate) fn new() -> Result<Self, Unanswered> {
        let tls = |error: rustls::Error| Unanswered::Tls(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .with_platform_verifier()
            .map_err(tls)?
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// What is said there, as JSON.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        url: &str,
        authorization: Option<&HeaderValue>,
    ) -> Result<T, Unanswered> {
        let mut request = Request::get(url).header(ACCEPT, "application/json");
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let request = request.body(Empty::new()).map_err(|_| Unanswered::Malformed)?;
        let bytes = tokio::time::timeout(PATIENCE, self.body(request))
            .await
            .map_err(|_| Unanswered::Unreachable)??;
        serde_json::from_slice(&bytes).map_err(|_| Unanswered::Malformed)
    }

    async fn body(&self, request: Request<Empty<Bytes>>) -> Result<Bytes, Unanswered> {
        let answer = self.client.request(request).await.map_err(|_| Unanswered::Unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(Unanswered::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        body.map(|body| body.to_bytes()).map_err(|_| Unanswered::Malformed)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

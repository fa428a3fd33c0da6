//! A plain HTTP client for tests: no redirects, no cookies, nothing added that was not asked for.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// One answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// One header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The member `error` of the body.
    pub fn error(&self) -> String {
        self.json().get("error").and_then(|error| error.as_str()).unwrap_or_default().to_owned()
    }
}

/// The client. Cloning shares the connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    via: Option<u16>,
}

impl Default for Http {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector), via: None }
    }
}

impl Http {
    /// A client that speaks HTTP/2 from the first byte.
    pub fn http2() -> Self {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
        Self { client, via: None }
    }

    /// A client whose requests all go to this loopback port, whatever host they name: the way through a load balancer.
    pub fn via(port: u16) -> Self {
        Self { via: Some(port), ..Self::default() }
    }

    /// The same client with connections of its own.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { via: self.via, ..Self::default() }
    }

    fn turned(&self, mut request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, String> {
        let (Some(port), Some(authority)) = (self.via, request.uri().authority().cloned()) else {
            return Ok(request);
        };
        let mut parts = request.uri().clone().into_parts();
        parts.authority = Some(format!("127.0.0.1:{port}").parse().map_err(|_| "not an authority")?);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| error.to_string())?;
        let host = HeaderValue::try_from(authority.as_str()).map_err(|error| error.to_string())?;
        request.headers_mut().entry(HOST).or_insert(host);
        Ok(request)
    }

    /// Sends a request and hands over the answer while it is still coming in.
    pub async fn stream(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let request = self.turned(request)?;
        self.client.request(request).await.map_err(|error| format!("{error:?}"))
    }

    /// Sends a request and reads the answer to its end.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let (parts, body) = self.stream(request).await?.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// GET.
    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
        self.send(request(Method::GET, url, headers, Bytes::new())?).await
    }

    /// POST.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        self.send(request(Method::POST, url, headers, body.into())?).await
    }

    /// POST of a form.
    pub async fn post_form(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.post(url, &all, form(fields)).await
    }

    /// POST of JSON.
    pub async fn post_json(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &serde_json::Value,
    ) -> Result<Answer, String> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.post(url, &all, body.to_string()).await
    }
}

/// Builds a request with exactly these headers (and `Host`, which the client adds).
pub fn request(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, String> {
    let uri: Uri = url.parse().map_err(|_| format!("`{url}` is not a URL"))?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| error.to_string())?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

/// Fields as `application/x-www-form-urlencoded`.
pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

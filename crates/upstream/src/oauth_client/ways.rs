//! Which way a request goes: straight to hosts that the operator named, through the guard to whatever else a document names
//! (CL-079, CL-080).
//!
//! A host is named by the URL of the MCP server and by `authorization_server`, with scheme and port: `https://mcp.corp.example`
//! does not name `http://mcp.corp.example:8080`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use url::Url;

use super::discovery::Server;
use super::error::{OauthClientError, Obstacle, Place};
use crate::document::protected;
use crate::egress::{Egress, FetchError, Limits};
use crate::guarded::{GuardedFetcher, NotFetched};

/// No honest document or answer is larger.
pub(super) const LARGEST: usize = 128 * 1024;

/// The two ways out.
#[derive(Clone, Debug)]
pub struct Ways {
    /// To what the operator named.
    pub egress: Arc<dyn Egress>,
    /// To what a stranger named; without it nothing else is asked.
    pub guarded: Option<GuardedFetcher>,
}

/// The ways, and what the operator named.
#[derive(Debug)]
pub(super) struct Reach {
    deadline: Duration,
    named: Vec<String>,
    ways: Ways,
}

impl Reach {
    pub(super) fn new<'a>(
        ways: Ways,
        deadline: Duration,
        named: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Self {
        let named = named.into_iter().flatten().filter_map(|url| Url::parse(url).ok());
        Self { deadline, named: named.map(|url| url.origin().ascii_serialization()).collect(), ways }
    }

    /// Both ways as one, for whoever has room for one: what may not be asked seems to be out of reach.
    pub(super) fn as_egress(&self) -> Arc<dyn Egress> {
        Arc::new(Either { named: self.named.clone(), ways: self.ways.clone() })
    }

    /// Hosts of an account's profile, which is ours.
    pub(super) fn also(&mut self, server: &Server) {
        let revocation = server.revocation_endpoint.as_ref();
        let urls = [&server.authorization_endpoint, &server.token_endpoint].into_iter().chain(revocation);
        self.named.extend(urls.map(|url| url.origin().ascii_serialization()));
    }

    /// Asks, whatever the answer's status. Sent once: what it carries may be good once.
    pub(super) async fn ask(
        &self,
        place: Place,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, OauthClientError> {
        let answer = self.carry(request).await.map_err(|why| why.at(place))?;
        let status = answer.status();
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            return Err(OauthClientError::Unreachable(place));
        }
        Ok(answer)
    }

    async fn carry(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Unheard> {
        let limits = Limits { total: self.deadline, max_body: LARGEST };
        carry(&self.named, &self.ways, request, limits).await
    }
}

/// By the way that its host has.
async fn carry(
    named: &[String],
    ways: &Ways,
    request: Request<Bytes>,
    limits: Limits,
) -> Result<Response<Bytes>, Unheard> {
    let origin = Url::parse(&request.uri().to_string()).map_err(|_| Unheard::MayNot)?;
    if named.contains(&origin.origin().ascii_serialization()) {
        return ways.egress.fetch(request, limits).await.map_err(Unheard::from);
    }
    let Some(guarded) = &ways.guarded else { return Err(Unheard::MayNot) };
    guarded.ask(request, limits).await.map_err(Unheard::from)
}

/// Both ways as one.
#[derive(Debug)]
struct Either {
    named: Vec<String>,
    ways: Ways,
}

impl Egress for Either {
    fn fetch(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        Box::pin(async move {
            carry(&self.named, &self.ways, request, limits).await.map_err(|why| match why {
                Unheard::MayNot => FetchError::Unreachable,
                Unheard::No(error) => error,
            })
        })
    }
}

/// What a document names, as far as it may be used at all: TLS, or this machine; nothing less protected than who names it; no
/// fragment, no userinfo (CL-076).
pub(super) fn usable(text: &str, over_tls: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let clean = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    (clean && protected(&url) && (!over_tls || url.scheme() == "https")).then_some(url)
}

enum Unheard {
    MayNot,
    No(FetchError),
}

impl Unheard {
    const fn at(self, place: Place) -> OauthClientError {
        match self {
            Self::MayNot => OauthClientError::Obstacle(Obstacle::Address),
            Self::No(FetchError::TooLarge) => OauthClientError::Obstacle(Obstacle::Metadata),
            Self::No(FetchError::TimedOut | FetchError::Unreachable) => OauthClientError::Unreachable(place),
        }
    }
}

impl From<FetchError> for Unheard {
    fn from(error: FetchError) -> Self {
        Self::No(error)
    }
}

impl From<NotFetched> for Unheard {
    fn from(why: NotFetched) -> Self {
        match why {
            NotFetched::Address | NotFetched::Port | NotFetched::Url => Self::MayNot,
            NotFetched::TooLarge => Self::No(FetchError::TooLarge),
            NotFetched::TimedOut => Self::No(FetchError::TimedOut),
            NotFetched::Busy | NotFetched::Compressed | NotFetched::Status(_) | NotFetched::Unreachable => {
                Self::No(FetchError::Unreachable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers everything, and remembers what it was asked.
    #[derive(Debug, Default)]
    struct Asked(Mutex<Vec<String>>);

    impl Egress for Asked {
        fn fetch(
            &self,
            request: Request<Bytes>,
            _: Limits,
        ) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
            self.0.lock().unwrap().push(request.uri().to_string());
            Box::pin(async { Ok(Response::new(Bytes::new())) })
        }
    }

    /// CL-079, CL-080: the metadata of an authorization server for ID-JAGs may name any token endpoint.
    #[tokio::test]
    async fn by_both_ways_as_one_nothing_is_asked_straight_but_what_the_operator_named() {
        let straight = Arc::new(Asked::default());
        let ways = Ways { egress: Arc::clone(&straight) as Arc<dyn Egress>, guarded: None };
        let reach = Reach::new(ways, Duration::from_secs(1), [Some("https://as.example/tenant")]);
        let limits = Limits { total: Duration::from_secs(1), max_body: LARGEST };
        let ask = async |url: &str| {
            let request = Request::post(url).body(Bytes::new()).unwrap();
            reach.as_egress().fetch(request, limits).await.map(|answer| answer.status().as_u16())
        };
        assert_eq!(ask("https://as.example/token").await, Ok(200));
        for elsewhere in
            ["http://169.254.169.254/token", "https://as.example:8443/token", "http://as.example/token"]
        {
            assert_eq!(ask(elsewhere).await, Err(FetchError::Unreachable), "{elsewhere}");
        }
        assert_eq!(*straight.0.lock().unwrap(), ["https://as.example/token"]);
    }
}

//! The way up and the way down: the request that an MCP server gets, and what of its answer the client gets.
//!
//! Both are built anew from lists of what may pass. Must never forward without a [`Permit`].

pub(crate) mod request;
pub(crate) mod response;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use protocol::id::{Connection, Id};
use protocol::mcp::{JsonRpcError, RequestId};
use upstream::mcp_server::streamable_http::UpstreamError;

use self::response::Passage;
use crate::body::{Body, Guarded, Stream};
use crate::call::{Asked, Operation};
use crate::counts::Ending;
use crate::error::CallError;
use crate::line::Unanswered;
use crate::lists::{Screen, Sieve, Sight};
use crate::media::{MCP_SESSION_ID, Media, single};
use crate::permit::Permit;
use crate::reason::CallReason;
use crate::server::ResourceServer;
use crate::session::Session;
use crate::streams::Lease;
use crate::vault::credential::{Behind, Credentials};
use crate::vault::{partial, told};

const INTERNAL: i64 = -32603;
const NOT_DONE: &str = "The MCP server behind the gateway did not carry out the request.";

impl ResourceServer {
    /// Step 5: the call goes to the MCP server, and its answer comes back.
    ///
    /// # Errors
    /// [`CallError`] if there is no answer, or none that may be passed on.
    pub async fn forward(&self, permit: Permit) -> Result<Response<Body>, CallError> {
        let (mut asked, session) = permit.into_parts();
        let credentials = match self.credentials(asked.who()).await {
            Ok(credentials) => credentials,
            Err(reason) => return Err(self.without_credential(asked, &session, reason)),
        };
        // Before anything is sent or written down; and after the policy, so that only who is admitted uses anything up.
        match asked.who().server.limits().draw(&asked) {
            Ok(toll) => asked.entry.pays(toll),
            Err(reached) => return Err(asked.refuse(CallReason::LimitReached(reached))),
        }
        // What will stand by itself takes its place first: to be refused after the MCP server began would help nobody.
        let standing = match self.stand(&asked) {
            Ok(standing) => standing,
            Err(reason) => return Err(asked.refuse(reason)),
        };
        if let Err(reason) = self.parts.audit.intend(&mut asked.entry).await {
            return Err(asked.refuse(reason));
        }
        let (answer, connection) = match self.send(&asked, &session, credentials).await {
            Ok(answered) => answered,
            Err(reason) => return Err(self.without_credential(asked, &session, reason)),
        };
        let (head, body) = answer.into_parts();
        let cleaned = response::judge(head.status, &head.headers, body.is_end_stream(), &asked.operation)
            .and_then(|(status, passage)| {
                let mut headers = response::headers(status, passage, &head.headers);
                self.give_session(&asked, &session, &head.headers, &mut headers)?;
                Ok((status, passage, headers))
            });
        let (status, passage, headers) = match cleaned {
            Ok(cleaned) => cleaned,
            Err(reason) => return Err(asked.refuse(reason)),
        };
        let body = if asked.list().is_some() && passage == Passage::Through(Media::Json) {
            self.give_list(asked, status, body).await?
        } else {
            match self.enter(&asked, (standing, connection), passage, &body).await {
                Ok(stream) => self.through(asked, status, passage, (body, stream)),
                Err(reason) => return Err(self.without_credential(asked, &session, reason)),
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// Sends the request. If the MCP server takes a credential no more, it is replaced, and the call goes up once
    /// again: a 401 says that it was not carried out (RFC 9110, section 15.5.2; RS-171). The same if it wants one of more
    /// scope, and the person has one by now. With the answer comes the connection whose credential it was.
    async fn send(
        &self,
        asked: &Asked,
        session: &Session,
        credentials: Credentials,
    ) -> Result<(Response<Incoming>, Option<Id<Connection>>), CallReason> {
        let who = asked.who();
        let (line, user) = (who.server.line(), who.person.user);
        let request = request::build(asked, session, credentials.clone());
        let answer = line.send(request, user).await.map_err(reason)?;
        let Some(behind) = credentials.behind.clone() else { return Ok((answer, None)) };
        let vault = self.vault();
        let wider = |answer: &Response<Incoming>| partial::too_little(answer.status(), answer.headers());
        let next = if answer.status() == StatusCode::UNAUTHORIZED && !self.is_hopeless(&behind) {
            drop(answer);
            Box::pin(self.instead_of(&behind, who)).await?
        } else if let (Behind::Connection(held), Some(challenge)) = (&behind, wider(&answer)) {
            drop(answer);
            Behind::Connection(Box::pin(vault.wider(held, (user, &who.server), &challenge)).await?)
        } else {
            behind.answered(answer.status());
            return Ok((answer, behind.connection()));
        };
        let request = request::build(asked, session, credentials.with(next.clone()));
        let answer = line.send(request, user).await.map_err(reason)?;
        next.answered(answer.status());
        let Behind::Connection(held) = next else { return Ok((answer, None)) };
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Box::pin(vault.give_up(&held, user, &who.server)).await;
        }
        if let Some(challenge) = wider(&answer) {
            Box::pin(vault.wider(&held, (user, &who.server), &challenge)).await?;
        }
        Ok((answer, Some(held.id)))
    }

    /// The session id of older clients, sealed. None for those of 2026-07-28, and none for a session that ends.
    fn give_session(
        &self,
        asked: &Asked,
        session: &Session,
        from: &HeaderMap,
        to: &mut HeaderMap,
    ) -> Result<(), CallReason> {
        let Some(given) = from.get(&MCP_SESSION_ID).filter(|_| !asked.is_modern()) else { return Ok(()) };
        match &asked.operation {
            // One of two would be a guess (RFC 9110, section 5.3).
            Operation::Call { .. } | Operation::Listen { .. } if single(from, &MCP_SESSION_ID).is_none() => {
                return Err(CallReason::UpstreamMalformed);
            }
            Operation::Call { .. } | Operation::Listen { .. } => {
                let given = (given, declares_at_handshake(&asked.operation));
                let by = (asked.who(), asked.signer.as_ref());
                to.insert(MCP_SESSION_ID.clone(), self.sessions.seal(session, given, by)?);
            }
            Operation::EndSession { .. } => {}
        }
        Ok(())
    }

    /// The body that goes out; from here on it is the body that has the call written down.
    fn through(
        &self,
        asked: Asked,
        status: StatusCode,
        passage: Passage,
        from: (Incoming, Option<Stream>),
    ) -> Body {
        let whole = whole(status);
        let (id, wanted) = (asked.id(), asked.wanted());
        let mut entry = asked.entry;
        entry.begun(status.as_u16());
        let own = match passage {
            Passage::Through(media) => {
                let (body, stream) = from;
                let guarded = Guarded::new(body, entry, stream, whole);
                return Body::guarded(match media {
                    Media::Events => guarded,
                    Media::Json => guarded.screened(Screen::new(&self.ours, self.clock.now(), wanted)),
                });
            }
            Passage::Empty => Bytes::new(),
            Passage::InOurWords => in_our_words(id),
        };
        entry.passed(u64::try_from(own.len()).unwrap_or(u64::MAX));
        let (ending, reason) = whole;
        entry.finish(ending, reason);
        Body::full(own)
    }

    /// A place among the open streams for what never ends by itself.
    fn stand(&self, asked: &Asked) -> Result<Option<Lease>, CallReason> {
        match &asked.operation {
            Operation::EndSession { .. } => Ok(None),
            Operation::Call { .. } if asked.is_answered_once() => Ok(None),
            Operation::Call { .. } | Operation::Listen { .. } => {
                self.streams.enter(asked.who().clone(), false).map(Some)
            }
        }
    }

    /// A place among the open streams for an answer that may take long: events, or a body of unknown length, for
    /// there are MCP servers that stream JSON without an end.
    async fn enter(
        &self,
        asked: &Asked,
        (standing, connection): (Option<Lease>, Option<Id<Connection>>),
        passage: Passage,
        body: &Incoming,
    ) -> Result<Option<Stream>, CallReason> {
        let media = match passage {
            Passage::Through(Media::Json) if body.size_hint().exact().is_some() => return Ok(None),
            Passage::Through(media) => media,
            Passage::Empty | Passage::InOurWords => return Ok(None),
        };
        let access = &asked.who().verdict.access;
        let stands = standing.is_some();
        let lease = match standing {
            Some(lease) => lease,
            None => self.streams.enter(asked.who().clone(), true)?,
        };
        if let Some(connection) = connection {
            lease.carried_by(connection);
            // Its credential may have been in memory for a while; a stream that stands would outlast that.
            if stands && !Box::pin(self.vault().lives(connection)).await? {
                return Err(CallReason::ConnectionMissing);
            }
        }
        // Withdrawn while the MCP server was thinking: whoever withdrew it did not find this stream yet.
        if self.revocations.is_dead(access) || self.held_keys.disown(access) {
            return Err(CallReason::TokenRevoked);
        }
        self.is_still_admitted(asked.who(), asked.is_answered_once())?;
        let life: Duration = access.expires_at.plus(self.stream_grace).since(self.clock.now());
        let stream = Stream::new(lease, life, media, asked.id())
            .resumable(!asked.is_modern())
            .answered_once(asked.is_answered_once());
        Ok(Some(match media {
            Media::Events => {
                let sight = Sight::of(asked.who(), &self.ours, self.clock.now());
                stream.sifted(Sieve::new(asked.wanted()), sight.beginning(asked.begins_tools()))
            }
            Media::Json => stream,
        }))
    }
}

fn reason(unanswered: Unanswered) -> CallReason {
    match unanswered {
        Unanswered::Failed(UpstreamError::Broken) => CallReason::UpstreamBroken,
        Unanswered::Failed(UpstreamError::Malformed) => CallReason::UpstreamMalformed,
        Unanswered::Failed(UpstreamError::TimedOut) => CallReason::UpstreamTimedOut,
        Unanswered::Failed(UpstreamError::Unreachable) => CallReason::UpstreamUnreachable,
        Unanswered::Open(wait) => CallReason::CircuitOpen(wait),
    }
}

/// Whether this is a handshake whose client takes questions by URL.
fn declares_at_handshake(operation: &Operation) -> bool {
    match operation {
        Operation::Call { call, body } if call.method == "initialize" => told::declares_at_handshake(body),
        Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => false,
    }
}

/// How a call is written down whose answer comes through.
pub(crate) fn whole(status: StatusCode) -> (Ending, Option<&'static str>) {
    match status.is_server_error() {
        true => (Ending::UpstreamFailed, Some("upstream_status")),
        false => (Ending::Answered, None),
    }
}

/// An error that the MCP server did not word for an MCP client.
pub(crate) fn in_our_words(id: Option<RequestId>) -> Bytes {
    JsonRpcError { id, code: INTERNAL, message: NOT_DONE, data: None }.to_body()
}

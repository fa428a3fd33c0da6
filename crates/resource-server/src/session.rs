//! The MCP session of older clients (legacy, MCP ≤ 2025-11-25): the id we give out is the MCP server's own, sealed
//! with person, client and MCP server (product.md, P-16), and the time at which it began: after [`LIFE`] it is none any more, and
//! the client begins anew (MCP 2025-11-25, "Session Management"; attacks SE-07). There is no table.
//!
//! A session is no authentication: it says nothing of who calls, and an id that is not of this caller is the same as
//! none (attacks SE-01). Must never let an id of ours reach the MCP server, or one of its ids reach a client.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};
use protocol::jose::dpop::Thumbprint;
use protocol::keys::Keys;
use protocol::mcp::session::{SessionOwner, open_session, seal_session};
use protocol::world::{Clock, Entropy, Timestamp};

use crate::audit::Who;
use crate::media::{MCP_SESSION_ID, single};
use crate::reason::CallReason;

/// An MCP server's own id: more would not fit into a header once it is sealed.
const LONGEST: usize = 1024;

/// How long a session is one. Longer than any that somebody works in; who lost its id, or had it taken, is not for ever followed.
const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The session of one call.
#[derive(Debug, Clone)]
pub(crate) enum Session {
    /// The client sees `presented`, the MCP server sees `upstream`.
    Known {
        presented: HeaderValue,
        upstream: HeaderValue,
        /// Whether the client declared URL elicitation at its handshake.
        elicits: bool,
    },
    None,
}

impl Session {
    /// Whether its client takes questions by URL (MCP 2025-11-25, "Elicitation").
    pub(crate) const fn elicits_urls(&self) -> bool {
        match self {
            Self::Known { elicits, .. } => *elicits,
            Self::None => false,
        }
    }
}

/// What stands between the time and the rest, and is in neither.
const BEGAN: char = '\n';
/// What stands before the id if the client declared URL elicitation. No id begins so: they are visible ASCII.
const ELICITS: char = '\t';

/// Opens and seals.
#[derive(Debug)]
pub(crate) struct Sessions {
    keys: Arc<ArcSwap<Keys>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Sessions {
    pub(crate) const fn new(
        keys: Arc<ArcSwap<Keys>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { keys, clock, entropy }
    }

    /// The session that a request names, which `signer` signed: one that was begun by a key is for that key alone. A session
    /// that was begun without a key is not opened by one, unless `or_unsigned`.
    pub(crate) fn open(
        &self,
        headers: &HeaderMap,
        who: &Who,
        (signer, or_unsigned): (Option<&Thumbprint>, bool),
    ) -> Result<Session, CallReason> {
        if !headers.contains_key(&MCP_SESSION_ID) {
            return Ok(Session::None);
        }
        let presented = single(headers, &MCP_SESSION_ID).ok_or(CallReason::SessionUnknown)?;
        let text = presented.to_str().map_err(|_| CallReason::SessionUnknown)?;
        let keys = self.keys.load();
        let open = |signer| open_session(&keys.sealing, text, &owner(who, signer));
        let opened = match open(signer) {
            Err(_) if or_unsigned && signer.is_some() => open(None),
            opened => opened,
        };
        let upstream = opened.map_err(|_| CallReason::SessionUnknown)?;
        let upstream = in_its_time(&upstream, self.clock.now()).ok_or(CallReason::SessionUnknown)?;
        let (elicits, upstream) = match upstream.strip_prefix(ELICITS) {
            Some(upstream) => (true, upstream),
            None => (false, upstream),
        };
        let mut upstream = HeaderValue::try_from(upstream).map_err(|_| CallReason::SessionUnknown)?;
        upstream.set_sensitive(true);
        Ok(Session::Known { presented: presented.clone(), upstream, elicits })
    }

    /// The id that the client is given for the one that the MCP server gave. `elicits` is what the handshake declared.
    pub(crate) fn seal(
        &self,
        session: &Session,
        (given, elicits): (&HeaderValue, bool),
        (who, signer): (&Who, Option<&Thumbprint>),
    ) -> Result<HeaderValue, CallReason> {
        match session {
            Session::Known { presented, upstream, .. } if upstream == given => return Ok(presented.clone()),
            Session::Known { .. } | Session::None => {}
        }
        // MCP transports, "Session Management": visible ASCII only.
        if given.is_empty() || given.len() > LONGEST || !given.as_bytes().iter().all(u8::is_ascii_graphic) {
            return Err(CallReason::UpstreamMalformed);
        }
        let given = given.to_str().map_err(|_| CallReason::UpstreamMalformed)?;
        let keys = self.keys.load();
        let began = self.clock.now().secs();
        let marked = match elicits || session.elicits_urls() {
            true => format!("{began}{BEGAN}{ELICITS}{given}"),
            false => format!("{began}{BEGAN}{given}"),
        };
        let sealed = seal_session(keys.sealing.active(), &marked, &owner(who, signer), &*self.entropy);
        let mut value = HeaderValue::try_from(sealed).map_err(|_| CallReason::UpstreamMalformed)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// What was sealed beside the time, if that is not over.
fn in_its_time(sealed: &str, now: Timestamp) -> Option<&str> {
    let (began, rest) = sealed.split_once(BEGAN)?;
    let began = Timestamp::from_secs(began.parse().ok()?);
    (now.since(began) < LIFE).then_some(rest)
}

fn owner<'a>(who: &'a Who, signer: Option<&'a Thumbprint>) -> SessionOwner<'a> {
    let access = &who.verdict.access;
    SessionOwner { user: access.user, server: who.server.name(), client_id: access.client.as_str(), signer }
}

#[cfg(test)]
mod tests;

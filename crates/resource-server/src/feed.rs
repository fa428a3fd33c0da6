//! The revocation feed (product.md, P-2): in-house MCP servers that verify tokens themselves hear from here what was
//! withdrawn, by long poll.
//!
//! What is told is what this node goes by itself, with its age, and nothing is told by a node that does not know enough
//! to serve. A cursor is good at the node and for the process that gave it; with any other the answer is everything that
//! is still in force, which is never wrong, only longer. Must never keep a reader waiting longer than T.

use std::time::Duration;

use protocol::oauth::{Form, Parameter};
use serde::Serialize;
use store::{Revocation, RevocationKind};

use crate::asking::AskError;
use crate::mcp_server::McpServer;
use crate::server::ResourceServer;

/// The longest that a reader waits: T.
const LONGEST_WAIT: u64 = 5;
/// So many readers may wait at the same time; a further one is answered at once.
pub(crate) const WAITING: usize = 1024;
/// Entries in one answer to a cursor of ours; if there are more, the reader asks again at once.
const MOST: usize = 1000;

/// One answer.
#[derive(Debug, Serialize)]
pub struct FeedPage {
    /// Another one than before: the record was restored from a backup. Whatever was verified before is to be forgotten.
    epoch: i64,
    /// To be sent next time.
    cursor: String,
    /// The cursor that was sent says nothing here: these are all that are in force, from the first one on.
    reset: bool,
    /// There are more: ask again at once.
    more: bool,
    /// How old our own knowledge was when this was answered, in milliseconds.
    age: u64,
    /// How old knowledge may be before tokens are to be refused, in milliseconds: T.
    max_age: u64,
    /// `kid` of every signing key that was withdrawn.
    withdrawn_keys: Vec<String>,
    /// What was withdrawn since the cursor.
    revocations: Vec<FeedEntry>,
}

/// One revocation: an access token that it names is dead if its `iat` is at or before `not_before`.
#[derive(Debug, Serialize)]
struct FeedEntry {
    kind: &'static str,
    id: String,
    not_before: i64,
    expires_at: i64,
}

/// What a reader asks.
#[derive(Debug)]
struct FeedRequest<'a> {
    cursor: Option<&'a str>,
    wait: Duration,
}

impl<'a> FeedRequest<'a> {
    fn parse(query: &'a Form) -> Result<Self, AskError> {
        let once = |name| match query.get(name) {
            Parameter::Absent => Ok(None),
            Parameter::Once(text) => Ok(Some(text)),
            Parameter::Repeated => Err(AskError::Malformed),
        };
        let wait = match once("wait")? {
            None => 0,
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse::<u64>().map_err(|_| AskError::Malformed)?
            }
            Some(_) => return Err(AskError::Malformed),
        };
        Ok(Self { cursor: once("cursor")?, wait: Duration::from_secs(wait.min(LONGEST_WAIT)) })
    }
}

impl ResourceServer {
    /// What was withdrawn since the reader last asked; if nothing was, a little later.
    ///
    /// # Errors
    /// [`AskError`] if no MCP server of ours asks, or we do not know enough at the moment.
    pub async fn revocation_feed(&self, authorization: &[&str], query: &Form) -> Result<FeedPage, AskError> {
        // A secret in a URL ends up in logs: it is not read there.
        let nothing = Form::parse(&[]).map_err(|_| AskError::Malformed)?;
        let server = self.asking_server(authorization, &nothing)?;
        let request = FeedRequest::parse(query)?;
        if let Ok(_place) = self.parts.readers.try_acquire() {
            self.revocations.news(request.cursor, request.wait).await;
        }
        if !self.ready() {
            return Err(AskError::Stale);
        }
        Ok(self.page(server, request.cursor))
    }

    fn page(&self, server: &McpServer, cursor: Option<&str>) -> FeedPage {
        let age = self.revocations.age().max(self.held_keys.age());
        let told = self.revocations.since(cursor, MOST, &*self.parts.entropy);
        let is_its_business = |revocation: &&Revocation| match revocation.kind {
            // Which other resources there are is no business of this one.
            RevocationKind::Resource => {
                server.identities().iter().any(|identity| identity.resource == revocation.id)
            }
            RevocationKind::Client
            | RevocationKind::Grant
            | RevocationKind::Issuer
            | RevocationKind::User => true,
        };
        FeedPage {
            epoch: self.revocations.epoch(),
            cursor: told.cursor,
            reset: told.reset,
            more: told.more,
            age: millis(age),
            max_age: millis(self.revocations.freshness()),
            withdrawn_keys: self.held_keys.withdrawn(),
            revocations: told.revocations.iter().filter(is_its_business).map(FeedEntry::of).collect(),
        }
    }
}

impl FeedEntry {
    fn of(revocation: &Revocation) -> Self {
        Self {
            kind: revocation.kind.as_str(),
            id: revocation.id.clone(),
            // `iat` has whole seconds too: at or before the whole second is at or before the moment.
            not_before: revocation.not_before.secs(),
            expires_at: revocation.expires_at.secs(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

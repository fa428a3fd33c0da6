//! A list that comes as one JSON text: read whole, judged, and given.
//!
//! Must never wait for ever, nor hold more than [`LARGEST`].

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::answer::{Text, judge};
use super::{LARGEST, Sight};
use crate::body::Body;
use crate::call::Asked;
use crate::error::CallError;
use crate::reason::CallReason;
use crate::server::ResourceServer;

/// How long a list may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the body of a list.
async fn collect(body: Incoming) -> Result<Bytes, CallReason> {
    if body.size_hint().lower() > u64::try_from(LARGEST).unwrap_or(u64::MAX) {
        return Err(CallReason::ListTooLarge);
    }
    match tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(CallReason::ListTooLarge),
        Ok(Err(_)) => Err(CallReason::UpstreamBroken),
        Err(_) => Err(CallReason::UpstreamTimedOut),
    }
}

impl ResourceServer {
    /// Gives the list, as far as the caller may see it.
    pub(crate) async fn give_list(
        &self,
        asked: Asked,
        status: StatusCode,
        body: Incoming,
    ) -> Result<Body, CallError> {
        let bytes = match self.collect_for(&asked, body).await {
            Ok(bytes) => bytes,
            Err(reason) => return Err(asked.refuse(reason)),
        };
        let sight = Sight::of(asked.who(), &self.ours, self.clock.now());
        let mut sight = sight.beginning(asked.begins_tools());
        let answered = judge(&bytes, &asked.wanted(), &mut sight);
        let is_answered = asked.id().is_none_or(|id| answered.ids.contains(&id));
        let bytes = match answered.text {
            // What is said instead is said to nobody (RS-066).
            Text::Changed(_) | Text::Untouched if status.is_success() && !is_answered => {
                return Err(asked.refuse(CallReason::ListUnreadable));
            }
            Text::Changed(text) => Bytes::from(text),
            Text::Nothing if status.is_success() => {
                return Err(asked.refuse(CallReason::ListUnreadable));
            }
            // An error that is no message: its status still says what a client must hear, as 404 of a session.
            Text::Nothing => crate::forward::in_our_words(asked.id()),
            Text::Untouched => bytes,
        };
        let mut entry = asked.entry;
        entry.begun(status.as_u16());
        entry.filtered(if status.is_success() { answered.dropped } else { 0 });
        entry.passed(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let (ending, reason) = crate::forward::whole(status);
        entry.finish(ending, reason);
        Ok(Body::full(bytes))
    }

    async fn collect_for(&self, asked: &Asked, body: Incoming) -> Result<Bytes, CallReason> {
        let bytes = collect(body).await?;
        // Withdrawn while the MCP server was thinking.
        let access = &asked.who().verdict.access;
        if self.revocations.is_dead(access) || self.held_keys.disown(access) {
            return Err(CallReason::TokenRevoked);
        }
        self.is_still_admitted(asked.who(), true)?;
        Ok(bytes)
    }
}

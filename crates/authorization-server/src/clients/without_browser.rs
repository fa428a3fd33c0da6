//! The organisation's word about clients (product.md, P-7) where no browser is in between: an ID-JAG, an exchange of tokens.
//!
//! Nobody is called back and nobody can be shown a page, so that every place at which the client may be called back counts, the
//! strictest first, and *ask* is a refusal that tells an administrator. Once they approve, the same request is served.

use std::collections::BTreeSet;

use protocol::oauth::RedirectUri;
use protocol::world::Timestamp;
use store::{AuditKind, Outcome, StoreError};
use thiserror::Error;

use super::policy::{self, Asking};
use super::{Client, Judged, destination_text};
use crate::AuthorizationServer;
use crate::pages::Caller;
use crate::settings::ServerEntry;

/// Why a client gets nothing although it is who it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClientStanding {
    /// It was stopped.
    #[error("it is blocked")]
    Blocked,
    /// It leads outside, and the MCP server is not for such.
    #[error("it leads outside the organisation")]
    Outside,
    /// An administrator has to approve it first.
    #[error("it needs the approval of an administrator")]
    Unapproved,
}

impl ClientStanding {
    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Blocked => "client_blocked",
            Self::Outside => "client_outside",
            Self::Unapproved => "approval_needed",
        }
    }
}

impl AuthorizationServer {
    /// Whether this client may ask for this MCP server without a browser. That one needs an approval is written down for the
    /// administrator, like every refusal up to so many a minute.
    pub(crate) async fn may_ask_without_browser(
        &self,
        client: &Client,
        server: &ServerEntry,
        (grant_type, caller, now): (&'static str, &Caller, Timestamp),
    ) -> Result<Result<(), ClientStanding>, StoreError> {
        let rules = self.parts.store.find_client_rules(client.id()).await?;
        let policy = &self.settings.client_policy;
        let outside_here = server.outside_clients;
        let places = client.metadata.redirect_uris.iter().map(RedirectUri::destination);
        let judged: Vec<_> = places
            .map(|to| (policy::decide(policy, &rules, &Asking { client, outside_here, to }), to))
            .collect();
        let strictest = judged.iter().map(|(judged, _)| *judged).max();
        Ok(match strictest.unwrap_or_else(|| policy::decide_without_place(policy, &rules, client)) {
            Judged::Allowed => Ok(()),
            Judged::Blocked => Err(ClientStanding::Blocked),
            Judged::OutsideHere => Err(ClientStanding::Outside),
            Judged::Unapproved => {
                let mut event = self.event(AuditKind::ClientRequested, Outcome::Ok, now);
                event.client_id = Some(client.id().as_str().to_owned());
                event.server = Some(server.name.clone());
                event.subject = Some(self.subject(None, Some(caller.address.to_string())));
                event.detail.insert("grant_type", grant_type.to_owned());
                // All that an approval must be for: `sekisho clients approve --client`.
                let open = judged.iter().filter(|(judged, _)| *judged == Judged::Unapproved);
                let places: BTreeSet<String> = open.map(|(_, to)| destination_text(to)).collect();
                if !places.is_empty() {
                    let places: Vec<String> = places.into_iter().collect();
                    event.detail.insert("destination", places.join(" "));
                }
                self.append_refusal(event).await;
                Err(ClientStanding::Unapproved)
            }
        })
    }
}

//! The security event token, SET (RFC 8417; OpenID Shared Signals Framework 1.0, section 4): what happened to whom.
//!
//! The types of the claims are judged here, the rest by the caller.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::subject_identifier::SubjectIdentifier;
use crate::jose::claims::{Audience, present, seconds};

/// What its `typ` must be: it never passes for an ID token, nor one of those for it (RFC 8417, section 2.3).
pub const TYPES: &[&str] = &["secevent+jwt"];

/// Its claims.
#[derive(Debug, Clone, Deserialize)]
pub struct SecurityEventTokenClaims {
    /// The transmitter.
    pub iss: String,
    /// The receiver.
    pub aud: Audience,
    /// When it was made, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    /// Its own id, by which it is used once.
    pub jti: String,
    /// What happened.
    pub events: BTreeMap<String, Value>,
    /// To whom. Transmitters of the drafts say it in the event.
    #[serde(default, deserialize_with = "present")]
    pub sub_id: Option<Value>,
    /// Prohibited, as in access and ID tokens it is something else (Shared Signals Framework 1.0, section 4.1.2).
    #[serde(default, deserialize_with = "present")]
    pub sub: Option<IgnoredAny>,
    /// Prohibited: what happened has happened (section 4.1.7).
    #[serde(default, deserialize_with = "present")]
    pub exp: Option<IgnoredAny>,
}

/// What an event means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The person is out: a session was revoked, the account disabled or purged, a credential taken away or changed.
    Out,
    /// The transmitter tries out whether it is heard.
    Verification,
    /// Something else.
    Other,
}

impl SecurityEventTokenClaims {
    /// The events, with what each means and whom it is about; `None` for a subject that is malformed or missing.
    pub fn read(&self) -> impl Iterator<Item = (EventKind, Option<SubjectIdentifier>)> + '_ {
        self.events.iter().map(|(name, event)| {
            let subject = self.sub_id.as_ref().or_else(|| event.get("subject"));
            (kind(name, event), subject.and_then(SubjectIdentifier::read))
        })
    }
}

fn kind(name: &str, event: &Value) -> EventKind {
    let Some(rest) = name.strip_prefix("https://schemas.openid.net/secevent/") else {
        return EventKind::Other;
    };
    match rest {
        "caep/event-type/session-revoked"
        | "risc/event-type/account-disabled"
        | "risc/event-type/account-purged"
        | "risc/event-type/sessions-revoked" => EventKind::Out,
        // A credential more takes nothing from anybody (CAEP 1.0, section 3.3.1).
        "caep/event-type/credential-change" if event.get("change_type").is_none_or(|how| how != "create") => {
            EventKind::Out
        }
        "ssf/event-type/verification" | "sse/event-type/verification" => EventKind::Verification,
        _ => EventKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_event_means_is_told_by_its_name() {
        let caep = |name: &str| format!("https://schemas.openid.net/secevent/caep/event-type/{name}");
        let risc = |name: &str| format!("https://schemas.openid.net/secevent/risc/event-type/{name}");
        for (name, event, expected) in [
            (caep("session-revoked"), json!({}), EventKind::Out),
            (caep("credential-change"), json!({"change_type": "revoke"}), EventKind::Out),
            (caep("credential-change"), json!({"change_type": "create"}), EventKind::Other),
            (caep("token-claims-change"), json!({}), EventKind::Other),
            (risc("account-disabled"), json!({"reason": "hijacking"}), EventKind::Out),
            (risc("account-enabled"), json!({}), EventKind::Other),
            (
                "https://schemas.openid.net/secevent/ssf/event-type/verification".to_owned(),
                json!({"state": "x"}),
                EventKind::Verification,
            ),
            ("http://schemas.openid.net/event/backchannel-logout".to_owned(), json!({}), EventKind::Other),
            (
                "https://elsewhere.example/caep/event-type/session-revoked".to_owned(),
                json!({}),
                EventKind::Other,
            ),
        ] {
            assert_eq!(kind(&name, &event), expected, "{name}");
        }
    }
}

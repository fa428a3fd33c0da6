//! The ear: one connection of its own that hears what other nodes announce (LISTEN/NOTIFY), says what this one does, and
//! notices when the server is back.
//!
//! Nobody may depend on it. What it misses is found by those who look every two seconds; an engine that speaks
//! PostgreSQL's protocol and knows no NOTIFY serves as well.

use std::sync::Arc;
use std::time::Duration;

use protocol::world::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_postgres::{Client, Notification};

use super::connect::{Dialer, Reached, limited};
use super::health::{self, Health};
use super::unavailable;
use crate::engine::{Announcement, Listeners};
use crate::{Revocation, RevocationKind, StoreError};

/// Announcements that wait to be said. What does not fit is found by looking.
pub(super) const WAITING: usize = 256;
/// How long the server may take for what takes it no time.
const LIMIT: Duration = Duration::from_secs(1);
/// How often it is asked whether it is still there: a cut cable says nothing.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// PostgreSQL's bound is 8000 bytes.
const LONGEST: usize = 7900;

const SCHEMA: &str = "SELECT current_schema()::text";
const SAY: &str = "SELECT pg_notify($1, $2)";

/// What nodes tell each other, as it is said.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// Keys were made, retired or withdrawn.
    Keys,
    /// A revocation was committed; times in microseconds.
    Revocation { kind: String, id: String, not_before: i64, expires_at: i64 },
}

/// What the task holds.
pub(super) struct Ear {
    pub(super) dialer: Arc<Dialer>,
    pub(super) health: Arc<Health>,
    pub(super) listeners: Arc<Listeners>,
    pub(super) to_say: mpsc::Receiver<Announcement>,
}

impl Ear {
    /// Listens for ever; ended by its owner.
    pub(super) async fn listen(mut self) {
        self.health.watch();
        let mut attempt = 0;
        loop {
            let (heard, hearing) = mpsc::unbounded_channel();
            match self.dialer.dial(Some(heard)).await {
                Ok(reached) => {
                    if self.serve(&reached, hearing).await {
                        attempt = 0;
                    }
                    reached.driver.abort();
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "the database is away");
                }
            }
            tokio::time::sleep(health::pause(attempt)).await;
            attempt = attempt.saturating_add(1);
        }
    }

    /// Until the connection breaks. Whether it was good for anything.
    async fn serve(&mut self, reached: &Reached, mut hearing: mpsc::UnboundedReceiver<Notification>) -> bool {
        let client = &reached.client;
        let channel = match limited(LIMIT, listen(client)).await {
            Ok(Ok(channel)) => Some(channel),
            // Such a server announces nothing; that it lives is still worth knowing.
            Ok(Err(error)) if !client.is_closed() => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the database announces nothing");
                None
            }
            Ok(Err(_)) | Err(_) => return false,
        };
        loop {
            tokio::select! {
                heard = hearing.recv() => match heard {
                    Some(heard) => self.hear(&heard),
                    None => return true,
                },
                announcement = self.to_say.recv() => {
                    let Some(announcement) = announcement else { return true };
                    if let Some(channel) = &channel
                        && limited(LIMIT, say(client, channel, &announcement)).await.is_err()
                    {
                        return true;
                    }
                }
                () = self.health.noticed() => {
                    // Not at once: everybody who failed has just told the server so.
                    tokio::time::sleep(health::pause(1)).await;
                    if !self.answers(reached).await {
                        return true;
                    }
                }
                () = tokio::time::sleep(HEARTBEAT) => if !self.answers(reached).await {
                    return true;
                },
            }
        }
    }

    async fn answers(&self, reached: &Reached) -> bool {
        if self.dialer.is_left_behind(reached.timeline) {
            return false;
        }
        let answered = matches!(limited(LIMIT, reached.client.batch_execute("SELECT 1")).await, Ok(Ok(())));
        if answered {
            self.health.back();
        } else {
            self.health.lost();
        }
        answered
    }

    fn hear(&self, notification: &Notification) {
        match serde_json::from_str(notification.payload()).ok().and_then(understood) {
            Some(announcement) => self.listeners.announce(&announcement),
            // A newer release may say what this one does not know.
            None => tracing::debug!("an announcement was not understood"),
        }
    }
}

fn understood(said: Said) -> Option<Announcement> {
    Some(match said {
        Said::Keys => Announcement::Keys,
        Said::Revocation { kind, id, not_before, expires_at } => Announcement::Revocation(Revocation {
            kind: RevocationKind::ALL.into_iter().find(|known| known.as_str() == kind)?,
            id,
            not_before: Timestamp::from_micros(not_before),
            expires_at: Timestamp::from_micros(expires_at),
        }),
    })
}

fn spoken(announcement: &Announcement) -> Said {
    match announcement {
        Announcement::Keys => Said::Keys,
        Announcement::Revocation(revocation) => Said::Revocation {
            kind: revocation.kind.as_str().to_owned(),
            id: revocation.id.clone(),
            not_before: revocation.not_before.micros(),
            expires_at: revocation.expires_at.micros(),
        },
    }
}

/// Begins to listen; on which channel. Records in schemas of one database do not hear each other.
async fn listen(client: &Client) -> Result<String, StoreError> {
    let row = client.query_one(SCHEMA, &[]).await.map_err(unavailable)?;
    let channel = format!("sekisho_{}", row.try_get::<_, String>(0).map_err(unavailable)?);
    let name = channel.replace('"', "\"\"");
    client.batch_execute(&format!("LISTEN \"{name}\"")).await.map_err(unavailable)?;
    Ok(channel)
}

async fn say(client: &Client, channel: &str, announcement: &Announcement) {
    let Ok(text) = serde_json::to_string(&spoken(announcement)) else { return };
    if text.len() > LONGEST {
        return;
    }
    if let Err(error) = client.query(SAY, &[&channel, &text]).await {
        tracing::debug!(%error, "an announcement was not said; it is found by looking");
    }
}

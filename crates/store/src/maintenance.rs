//! Sweeping out what is dead. Evidence by which a replay is recognised stays as long as anything could be
//! replayed (attacks.md, ST-11): sweeping must never be what makes a replay succeed.

use std::time::Duration;

use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, StoreError, authorizations};

/// How many rows a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepCounts {
    /// Authorizations that came to nothing, or whose grant is long gone.
    pub authorizations: u64,
    /// Browser sessions that ended.
    pub browser_sessions: u64,
    /// Requests of people who waited for an administrator.
    pub client_requests: u64,
    /// Clients that nobody has used for 90 days and that hold no live grant.
    pub clients: u64,
    /// Consents that are over.
    pub consents: u64,
    /// Device authorizations that are over.
    pub device_authorizations: u64,
    /// Emergency logins that ended a day ago.
    pub emergency_logins: u64,
    /// Grants past the end of the life they could have had.
    pub grants: u64,
    /// What providers gave to be asked about people who have nothing here any more.
    pub offline_access: u64,
    /// Connections that were begun and not finished in time.
    pub connecting: u64,
    /// Initial access tokens that are over.
    pub registration_tokens: u64,
    /// Things used once that nobody would take any more.
    pub replays: u64,
    /// Revocations that no living token could fall under.
    pub revocations: u64,
    /// Attempts to connect that began 14 days ago, and of those without a person the oldest beyond so many.
    pub sign_ins: u64,
}

/// The upkeep of the record.
pub trait Maintenance: Send + Sync {
    /// Removes what is dead, in small writes, and counts the waiting authorizations anew.
    fn sweep(&self, now: Timestamp) -> Answer<'_, SweepCounts>;

    /// The time by the clock of the record, if that is another one than ours.
    fn time(&self) -> Answer<'_, Option<Timestamp>>;

    /// When the record was last restored from a backup: a grant that ended at that very moment was ended by it.
    fn last_restore(&self) -> Answer<'_, Option<Timestamp>>;

    /// Whether the record answers and takes writes, said in less than two seconds.
    fn ready(&self) -> Answer<'_, ()>;
}

/// What nobody decided stays as long again as it lived: anybody can make one, and what strangers leave behind must not
/// outgrow the cap on what may wait (product.md, P-4).
const UNDECIDED: Duration = Duration::from_secs(10 * 60);
/// What was used once stays a while after it is over.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// What somebody decided and came to nothing stays a day, so that a late visitor is told what happened.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The row of a client that nobody uses (product.md, P-4).
const CLIENT_UNUSED: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long it can be asked why a client did not connect (product.md, P-19).
const SIGN_INS: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// So many attempts without a person are kept: anybody can make one.
const SIGN_INS_OF_NOBODY: u32 = 50_000;
/// Rows per write: no caller waits long behind a sweep.
const LIMIT: u64 = 500;

statement_list! {
    // `state <> 'redeemed'` is what the index asks for.
    UNDECIDED_AUTHORIZATIONS = "DELETE FROM authorizations WHERE id IN (SELECT id FROM authorizations \
        WHERE state IN ('pending', 'upstream_leg') AND state <> 'redeemed' AND expires_at < $1 LIMIT 500)";
    OPEN_AUTHORIZATIONS = "DELETE FROM authorizations WHERE id IN (SELECT id FROM authorizations \
        WHERE state <> 'redeemed' AND expires_at < $1 LIMIT 500)";
    // A redeemed code and its grant go together, when no token of the grant could be alive: until then every
    // replay of either is recognised for what it is.
    REDEEMED_AUTHORIZATIONS = "DELETE FROM authorizations WHERE id IN (SELECT authorization_id FROM grants \
        WHERE expires_at < $1 ORDER BY expires_at, id LIMIT 500)";
    GRANTS = "DELETE FROM grants WHERE id IN (SELECT id FROM grants \
        WHERE expires_at < $1 ORDER BY expires_at, id LIMIT 500)";
    BROWSER_SESSIONS = "DELETE FROM browser_sessions WHERE hash IN (SELECT hash FROM browser_sessions \
        WHERE expires_at < $1 LIMIT 500)";
    CONSENTS = "DELETE FROM consents WHERE (user_id, client_id, resource, kind, holder) IN \
        (SELECT user_id, client_id, resource, kind, holder FROM consents WHERE expires_at < $1 LIMIT 500)";
    DEVICE_AUTHORIZATIONS = "DELETE FROM device_authorizations WHERE device_code IN (SELECT device_code FROM device_authorizations \
        WHERE expires_at < $1 LIMIT 500)";
    EMERGENCY_LOGINS = "DELETE FROM emergency_logins WHERE hash IN (SELECT hash FROM emergency_logins \
        WHERE expires_at < $1 LIMIT 500)";
    CONNECTING = "DELETE FROM connecting WHERE id IN (SELECT id FROM connecting \
        WHERE expires_at < $1 LIMIT 500)";
    // Somebody who has just signed in has no grant yet.
    OFFLINE_ACCESS = "DELETE FROM offline_access WHERE id IN (SELECT o.id FROM offline_access o \
        WHERE o.obtained_at < $1 AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.user_id = o.user_id \
        AND g.revoked_at IS NULL AND g.expires_at > $2 AND g.idle_expires_at > $2) LIMIT 500)";
    CLIENT_REQUESTS = "DELETE FROM client_requests WHERE authorization_id IN (SELECT authorization_id FROM client_requests \
        WHERE expires_at < $1 LIMIT 500)";
    REGISTRATION_TOKENS = "DELETE FROM registration_tokens WHERE hash IN (SELECT hash FROM registration_tokens \
        WHERE expires_at < $1 LIMIT 500)";
    REPLAYS = "DELETE FROM replays WHERE (kind, hash) IN (SELECT kind, hash FROM replays \
        WHERE expires_at < $1 LIMIT 500)";
    REVOCATIONS = "DELETE FROM revocations WHERE (kind, id) IN (SELECT kind, id FROM revocations \
        WHERE expires_at < $1 LIMIT 500)";
    CLIENTS = "DELETE FROM clients WHERE blocked_at IS NULL AND last_used_at < $1 AND client_id IN \
        (SELECT c.client_id FROM clients c WHERE c.blocked_at IS NULL AND c.last_used_at < $1 AND NOT EXISTS \
        (SELECT 1 FROM grants g WHERE g.client_id = c.client_id AND g.revoked_at IS NULL \
        AND g.expires_at > $2 AND g.idle_expires_at > $2) LIMIT 500)";
    // The address goes with its attempt: it stands under the same id.
    SUBJECTS_OF_SIGN_INS = "DELETE FROM audit_subjects WHERE id IN (SELECT id FROM sign_ins \
        WHERE begun_at < $1 ORDER BY begun_at, id LIMIT 500)";
    SIGN_INS_OVER = "DELETE FROM sign_ins WHERE id IN (SELECT id FROM sign_ins \
        WHERE begun_at < $1 ORDER BY begun_at, id LIMIT 500)";
    FIRST_OF_NOBODY = "SELECT begun_at FROM sign_ins WHERE user_id IS NULL \
        ORDER BY begun_at DESC, id DESC LIMIT 1 OFFSET $1";
    SUBJECTS_OF_NOBODY = "DELETE FROM audit_subjects WHERE id IN (SELECT id FROM sign_ins \
        WHERE user_id IS NULL AND begun_at < $1 ORDER BY begun_at, id LIMIT 500)";
    SIGN_INS_OF_NOBODY_OVER = "DELETE FROM sign_ins WHERE id IN (SELECT id FROM sign_ins \
        WHERE user_id IS NULL AND begun_at < $1 ORDER BY begun_at, id LIMIT 500)";
}

impl Maintenance for Engine {
    fn last_restore(&self) -> Answer<'_, Option<Timestamp>> {
        Box::pin(self.restored_at())
    }

    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(self.ping())
    }

    fn time(&self) -> Answer<'_, Option<Timestamp>> {
        Box::pin(self.time_there())
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, SweepCounts> {
        Box::pin(async move {
            let (day_ago, unused) = (now.minus(DAY), now.minus(CLIENT_UNUSED));
            let hour_ago = now.minus(HOUR);
            let undecided = now.minus(UNDECIDED);
            let before_undecided = undecided;
            let undecided = remove(self, || vec![step(UNDECIDED_AUTHORIZATIONS, undecided)]).await?;
            let open = remove(self, || vec![step(OPEN_AUTHORIZATIONS, day_ago)]).await?;
            let together = || vec![step(REDEEMED_AUTHORIZATIONS, day_ago), step(GRANTS, day_ago)];
            let (redeemed, grants) = remove_pairs(self, together).await?;
            let browser_sessions = remove(self, || vec![step(BROWSER_SESSIONS, now)]).await?;
            let connecting = remove(self, || vec![step(CONNECTING, hour_ago)]).await?;
            let consents = remove(self, || vec![step(CONSENTS, now)]).await?;
            let device_authorizations =
                remove(self, || vec![step(DEVICE_AUTHORIZATIONS, before_undecided)]).await?;
            let emergency_logins = remove(self, || vec![step(EMERGENCY_LOGINS, day_ago)]).await?;
            let client_requests = remove(self, || vec![step(CLIENT_REQUESTS, hour_ago)]).await?;
            let offline_access =
                remove(self, || vec![Step::any(OFFLINE_ACCESS, params![hour_ago, now])]).await?;
            let registration_tokens = remove(self, || vec![step(REGISTRATION_TOKENS, day_ago)]).await?;
            // Clocks of nodes differ: what is over here may be good there for some minutes yet.
            let replays = remove(self, || vec![step(REPLAYS, hour_ago)]).await?;
            let revocations = remove(self, || vec![step(REVOCATIONS, now)]).await?;
            let clients = remove(self, || vec![Step::any(CLIENTS, params![unused, now])]).await?;
            let sign_ins = sign_ins(self, now).await?;
            authorizations::count_waiting(self, now).await?;
            let authorizations = undecided + open + redeemed;
            Ok(SweepCounts {
                authorizations,
                browser_sessions,
                client_requests,
                clients,
                connecting,
                consents,
                device_authorizations,
                emergency_logins,
                grants,
                offline_access,
                registration_tokens,
                replays,
                revocations,
                sign_ins,
            })
        })
    }
}

/// Those that are too old, and those of nobody that are too many, oldest first.
async fn sign_ins(engine: &Engine, now: Timestamp) -> Result<u64, StoreError> {
    let over = now.minus(SIGN_INS);
    let old = remove(engine, || vec![step(SUBJECTS_OF_SIGN_INS, over), step(SIGN_INS_OVER, over)]).await?;
    let beyond = engine.many(FIRST_OF_NOBODY, params![SIGN_INS_OF_NOBODY]).await?;
    let Some(row) = beyond.into_iter().next() else { return Ok(old) };
    let last = Decoder::new("sign_ins", row).time("begun_at")?;
    let nobody = || vec![step(SUBJECTS_OF_NOBODY, last), step(SIGN_INS_OF_NOBODY_OVER, last)];
    Ok(old + remove(engine, nobody).await?)
}

fn step(sql: &'static str, before: Timestamp) -> Step {
    Step::any(sql, params![before])
}

/// Repeats a write until its last step finds less than a full portion; how many rows that step removed in all.
async fn remove(engine: &Engine, steps: impl Fn() -> Vec<Step> + Send) -> Result<u64, StoreError> {
    remove_pairs(engine, steps).await.map(|(_, last)| last)
}

/// The same, and how many rows the first step removed: a grant goes with the authorization that gave it, if one did.
async fn remove_pairs(
    engine: &Engine,
    steps: impl Fn() -> Vec<Step> + Send,
) -> Result<(u64, u64), StoreError> {
    let (mut first, mut last) = (0, 0);
    loop {
        let touched = match engine.write(Write::new(steps()).long()).await? {
            Written::Done(touched) => touched,
            Written::Missed(_) => return Err(StoreError::unavailable("a row that is swept is still needed")),
        };
        let portion = touched.last().map_or(0, |step| step.count);
        first += touched.first().map_or(0, |step| step.count);
        last += portion;
        if portion < LIMIT {
            return Ok((first, last));
        }
    }
}

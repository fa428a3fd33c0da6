//! People, by what a connector says of them, and their signing in.
//!
//! A person is the pair of connector and subject, never an e-mail address (product.md, P-11).

use protocol::id::{Authorization, Id, User};
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::{Decoder, json};
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{
    Answer, AuditEvent, BrowserSessionRecord, NewOfflineAccess, Revocation, StopCounts, StoreError,
    audit_events, offline_access, stop,
};

/// The connector of service accounts: reserved, so that no identity provider vouches for one and no browser session is
/// ever opened for it.
pub const SERVICE_ACCOUNT: &str = "service-account";

/// A person who signed in at least once, or a service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Our own id: the `sub` of our tokens.
    pub id: Id<User>,
    /// The connector that vouches.
    pub connector: String,
    /// The connector's immutable identifier of the person.
    pub subject: String,
    /// What to call them.
    pub name: Option<String>,
    /// E-mail address, if the connector says that it is verified.
    pub email: Option<String>,
    /// Groups at the last sign-in.
    pub groups: Vec<String>,
    /// First sign-in.
    pub created_at: Timestamp,
    /// Last sign-in.
    pub last_sign_in_at: Timestamp,
    /// When the person was shut out.
    pub disabled_at: Option<Timestamp>,
}

impl UserRecord {
    /// The name of the service account, if this is one and no person.
    #[must_use]
    pub fn service_account(&self) -> Option<&str> {
        (self.connector == SERVICE_ACCOUNT).then_some(self.subject.as_str())
    }
}

/// A service account as the configuration has it.
#[derive(Debug, Clone)]
pub struct NewServiceAccount {
    /// The id if it is new; otherwise it keeps the one it has.
    pub id: Id<User>,
    /// Its name: the subject of its row.
    pub name: String,
    /// What people are shown.
    pub title: String,
}

/// What a connector said of a person who just came back from it.
#[derive(Debug, Clone)]
pub struct NewIdentity {
    /// The id if this person is new; otherwise they keep the one they have.
    pub id: Id<User>,
    /// The connector that vouches.
    pub connector: String,
    /// Its immutable identifier of the person.
    pub subject: String,
    /// What to call them.
    pub name: Option<String>,
    /// E-mail address, only if verified.
    pub email: Option<String>,
    /// Their groups.
    pub groups: Vec<String>,
}

/// The upstream leg that the sign-in answers.
#[derive(Debug, Clone, Copy)]
pub struct AnsweredLeg {
    /// The authorization that set out on it.
    pub authorization: Id<Authorization>,
    /// Hash of the `state` that came back.
    pub state_hash: Hash,
    /// Hash of the browser's cookie of the leg.
    pub leg_hash: Hash,
}

/// One sign-in: the person, the browser session, the leg that is thereby used up, and the event of it.
#[derive(Debug)]
pub struct SignIn {
    /// Who.
    pub user: NewIdentity,
    /// The new browser session. Its `user` is overwritten by the id that the person has in the record.
    pub session: BrowserSessionRecord,
    /// By what the provider can be asked later, if it gave something for that.
    pub offline: Option<NewOfflineAccess>,
    /// The leg it answers, if any: it must still be under way and not expired.
    pub authorization: Option<AnsweredLeg>,
    /// The event; `at` is the time of the whole, `user` is overwritten as in the session.
    pub audit: AuditEvent,
}

/// How a sign-in ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInOutcome {
    /// This person has been shut out. Nothing was written.
    Disabled,
    /// The leg was already answered, replaced or expired. Nothing was written.
    LegGone,
    /// Signed in, as this person.
    SignedIn(UserRecord),
}

/// The people in the record.
pub trait Users: Send + Sync {
    /// The person with this id.
    fn find_user(&self, id: Id<User>) -> Answer<'_, Option<UserRecord>>;

    /// The person whom this connector names so.
    fn find_identity<'a>(&'a self, connector: &'a str, subject: &'a str) -> Answer<'a, Option<UserRecord>>;

    /// The person whom this connector names so, or who was linked to that identity: who is linked to somebody is that person.
    fn find_person<'a>(&'a self, connector: &'a str, subject: &'a str) -> Answer<'a, Option<UserRecord>>;

    /// The connector's people with this address, three at most. Addresses are compared without regard to capitals.
    fn list_by_address<'a>(&'a self, connector: &'a str, address: &'a str) -> Answer<'a, Vec<UserRecord>>;

    /// Makes a person who never signed in here, with the event; whoever is there already, or linked, stays as they are and
    /// nothing is written.
    fn make_person(&self, new: NewIdentity, audit: AuditEvent) -> Answer<'_, UserRecord>;

    /// The row of a service account; made at its first use, so that it can be stopped, and its title brought up to date.
    fn keep_service_account(&self, account: NewServiceAccount, now: Timestamp) -> Answer<'_, UserRecord>;

    /// Shuts a person out and ends all that is theirs, as [`Revocations::stop`](crate::Revocations::stop) does.
    fn block_user(&self, id: Id<User>, revocation: Revocation, audit: AuditEvent) -> Answer<'_, StopCounts>;

    /// Lets a person in again. Whether they were shut out; if not, nothing is written.
    fn allow_user(&self, id: Id<User>, audit: AuditEvent) -> Answer<'_, bool>;

    /// Signs a person in: makes or updates the person, opens the session, uses up the leg, all or nothing. A leg
    /// is answered at most once.
    fn sign_in(&self, sign_in: SignIn) -> Answer<'_, SignInOutcome>;
}

macro_rules! columns {
    () => {
        "id, connector, subject, name, email, groups, created_at, last_sign_in_at, disabled_at"
    };
}

pub(crate) use columns;

statement_list! {
    PEOPLE = concat!("SELECT ", columns!(), " FROM users WHERE id = $1 OR (connector = $2 AND subject = $3) \
        OR lower(email) = lower($4) ORDER BY id LIMIT 10");
    // Whoever is linked to somebody is that person, and no longer one of their own.
    LINKED_PEOPLE = concat!("SELECT ", columns!(), " FROM users \
        WHERE id = (SELECT user_id FROM identity_links WHERE connector = $1 AND subject = $2)");
    FIND = concat!("SELECT ", columns!(), " FROM users WHERE id = $1");
    FIND_IDENTITY = concat!("SELECT ", columns!(), " FROM users WHERE connector = $1 AND subject = $2");
    // Whoever is linked to somebody is that person, whatever stands in a row of their own.
    FIND_PERSON = concat!("SELECT ", columns!(), " FROM users WHERE id = COALESCE( \
        (SELECT user_id FROM identity_links WHERE connector = $1 AND subject = $2), \
        (SELECT id FROM users WHERE connector = $1 AND subject = $2))");
    OF_ADDRESS = concat!("SELECT ", columns!(), " FROM users \
        WHERE connector = $1 AND lower(email) = lower($2) AND connector <> 'service-account' ORDER BY id LIMIT 3");
    MAKE = "INSERT INTO users (id, connector, subject, name, email, groups, created_at, last_sign_in_at) \
        SELECT $1, $2, $3, $4, $5, $6, $7, $7 \
        WHERE NOT EXISTS (SELECT 1 FROM identity_links WHERE connector = $2 AND subject = $3) \
        ON CONFLICT (connector, subject) DO NOTHING";
    FIND_SERVICE_ACCOUNT = concat!("SELECT ", columns!(),
        " FROM users WHERE connector = 'service-account' AND subject = $1");
    KEEP_SERVICE_ACCOUNT = concat!(
        "INSERT INTO users (id, connector, subject, name, groups, created_at, last_sign_in_at) \
         VALUES ($1, 'service-account', $2, $3, '[]', $4, $4) \
         ON CONFLICT (connector, subject) DO UPDATE SET name = excluded.name RETURNING ", columns!()
    );
    BLOCK = "UPDATE users SET disabled_at = $1 WHERE id = $2 AND disabled_at IS NULL";
    ALLOW = "UPDATE users SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL";
    // Whoever is known keeps the id and the day of the first sign-in.
    SIGN_IN = concat!(
        "INSERT INTO users (id, connector, subject, name, email, groups, created_at, last_sign_in_at) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $7 \
         WHERE NOT EXISTS (SELECT 1 FROM identity_links WHERE connector = $2 AND subject = $3) \
         ON CONFLICT (connector, subject) DO UPDATE SET name = excluded.name, email = excluded.email, \
         groups = excluded.groups, last_sign_in_at = excluded.last_sign_in_at RETURNING ", columns!()
    );
    // Who is linked to somebody is that person, whatever stands in a row of their own.
    SIGN_IN_LINKED = concat!(
        "UPDATE users SET name = $1, email = $2, groups = $3, last_sign_in_at = $4 \
         WHERE id = (SELECT user_id FROM identity_links WHERE connector = $5 AND subject = $6) RETURNING ", columns!()
    );
    // By the natural key, because which id the person has is known only to the row. A service account never signs in.
    OPEN_SESSION = "INSERT INTO browser_sessions \
        (hash, user_id, created_at, authenticated_at, expires_at, upstream_session) \
        SELECT $1, id, $2, $3, $4, $5 FROM users WHERE id = COALESCE( \
        (SELECT user_id FROM identity_links WHERE connector = $6 AND subject = $7), \
        (SELECT id FROM users WHERE connector = $6 AND subject = $7)) \
        AND disabled_at IS NULL AND connector <> 'service-account'";
    ANSWER_LEG = "UPDATE authorizations SET state = 'pending', upstream_connector = NULL, \
        upstream_state_hash = NULL, upstream_leg_hash = NULL, upstream_nonce_hash = NULL, \
        upstream_verifier = NULL WHERE id = $1 AND state = 'upstream_leg' AND upstream_state_hash = $2 \
        AND upstream_leg_hash = $3 AND expires_at > $4";
}

impl Users for Engine {
    fn find_identity<'a>(&'a self, connector: &'a str, subject: &'a str) -> Answer<'a, Option<UserRecord>> {
        Box::pin(async move {
            self.one(FIND_IDENTITY, params![connector, subject]).await?.map(decode).transpose()
        })
    }

    fn find_person<'a>(&'a self, connector: &'a str, subject: &'a str) -> Answer<'a, Option<UserRecord>> {
        Box::pin(
            async move { self.one(FIND_PERSON, params![connector, subject]).await?.map(decode).transpose() },
        )
    }

    fn list_by_address<'a>(&'a self, connector: &'a str, address: &'a str) -> Answer<'a, Vec<UserRecord>> {
        Box::pin(async move {
            self.many(OF_ADDRESS, params![connector, address]).await?.into_iter().map(decode).collect()
        })
    }

    fn make_person(&self, new: NewIdentity, audit: AuditEvent) -> Answer<'_, UserRecord> {
        Box::pin(async move {
            let row = params![
                new.id,
                new.connector.as_str(),
                new.subject.as_str(),
                new.name.as_deref(),
                new.email.as_deref(),
                json(&new.groups)?,
                audit.at,
            ];
            let mut steps = vec![Step::one(MAKE, row)];
            audit_events::push(&mut steps, &audit)?;
            // Missed: somebody else made or linked them.
            let _: Written = self.write(Write::new(steps)).await?;
            let made = self.find_person(&new.connector, &new.subject).await?;
            made.ok_or_else(|| StoreError::unavailable("a person who was made is not there"))
        })
    }

    fn find_user(&self, id: Id<User>) -> Answer<'_, Option<UserRecord>> {
        Box::pin(async move { self.one(FIND, params![id]).await?.map(decode).transpose() })
    }

    fn keep_service_account(&self, account: NewServiceAccount, now: Timestamp) -> Answer<'_, UserRecord> {
        Box::pin(async move {
            let (name, title) = (account.name.as_str(), account.title.as_str());
            let known = self.one(FIND_SERVICE_ACCOUNT, params![name]).await?.map(decode).transpose()?;
            if let Some(known) = known.filter(|known| known.name.as_deref() == Some(title)) {
                return Ok(known);
            }
            let row = params![account.id, name, title, now];
            let write = Write::new(vec![Step::one(KEEP_SERVICE_ACCOUNT, row).returning()]);
            let Written::Done(touched) = self.write(write).await? else {
                return Err(StoreError::unavailable("a service account missed its key"));
            };
            let row = touched.into_iter().flat_map(|step| step.rows).next();
            decode(row.ok_or_else(|| StoreError::unavailable("a service account returned no row"))?)
        })
    }

    fn block_user(&self, id: Id<User>, revocation: Revocation, audit: AuditEvent) -> Answer<'_, StopCounts> {
        let first = vec![Step::at_most_one(BLOCK, params![audit.at, id])];
        Box::pin(stop::stop(self, first, revocation, audit))
    }

    fn allow_user(&self, id: Id<User>, audit: AuditEvent) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps = vec![Step::one(ALLOW, params![id])];
            audit_events::push(&mut steps, &audit)?;
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }

    fn sign_in(&self, sign_in: SignIn) -> Answer<'_, SignInOutcome> {
        Box::pin(async move {
            let now = sign_in.audit.at;
            let (user, session) = (&sign_in.user, &sign_in.session);
            let (connector, subject) = (user.connector.as_str(), user.subject.as_str());
            let person = params![
                user.id,
                connector,
                subject,
                user.name.as_deref(),
                user.email.as_deref(),
                json(&user.groups)?,
                now,
            ];
            let opened = params![
                session.hash,
                session.created_at,
                session.authenticated_at,
                session.expires_at,
                session.upstream_session,
                connector,
                subject,
            ];
            let linked = params![
                user.name.as_deref(),
                user.email.as_deref(),
                json(&user.groups)?,
                now,
                connector,
                subject,
            ];
            // Exactly one of the first two touches a row: a link and a row of one's own are looked at by both.
            let mut steps = vec![
                Step::at_most_one(SIGN_IN_LINKED, linked).returning(),
                Step::at_most_one(SIGN_IN, person).returning(),
                Step::one(OPEN_SESSION, opened),
            ];
            let opens = 2 + usize::from(sign_in.offline.is_some());
            if let Some(offline) = &sign_in.offline {
                steps.insert(2, offline_access::put(offline, (connector, subject), now));
            }
            if let Some(leg) = sign_in.authorization {
                let leg = params![leg.authorization, leg.state_hash, leg.leg_hash, now];
                steps.push(Step::one(ANSWER_LEG, leg));
            }
            audit_events::push_of_person(&mut steps, &sign_in.audit, connector, subject)?;
            match self.write(Write::new(steps)).await? {
                Written::Done(touched) => {
                    let row = touched.into_iter().flat_map(|step| step.rows).next();
                    let row = row.ok_or_else(|| StoreError::unavailable("a sign-in returned no row"))?;
                    Ok(SignInOutcome::SignedIn(decode(row)?))
                }
                Written::Missed(step) if step == opens => Ok(SignInOutcome::Disabled),
                Written::Missed(step) if step == opens + 1 => Ok(SignInOutcome::LegGone),
                Written::Missed(_) => Err(StoreError::unavailable("a sign-in missed its keys")),
            }
        })
    }
}

/// The people who may be meant by what somebody typed.
pub(crate) async fn find_people(engine: &Engine, text: &str) -> Result<Vec<UserRecord>, StoreError> {
    let id: Option<Id<User>> = text.parse().ok();
    let (connector, subject) = text.split_once(':').unzip();
    let linked = engine.many(LINKED_PEOPLE, params![connector, subject]).await?;
    if !linked.is_empty() {
        return linked.into_iter().map(decode).collect();
    }
    let rows = engine.many(PEOPLE, params![id, connector, subject, text]).await?;
    rows.into_iter().map(decode).collect()
}

pub(crate) fn decode(row: Row) -> Result<UserRecord, StoreError> {
    let mut row = Decoder::new("users", row);
    Ok(UserRecord {
        id: row.id("id")?,
        connector: row.text("connector")?,
        subject: row.text("subject")?,
        name: row.opt_text("name")?,
        email: row.opt_text("email")?,
        groups: row.json("groups")?,
        created_at: row.time("created_at")?,
        last_sign_in_at: row.time("last_sign_in_at")?,
        disabled_at: row.opt_time("disabled_at")?,
    })
}

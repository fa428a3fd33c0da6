//! Authorizations: one authorization request on its way (RFC 6749, section 4.1), from asked to redeemed.
//!
//! Each step forward is one statement with its condition inside: two callers can try, one gets through. An
//! authorization gives at most one code, and a code at most one grant.

mod rows;
mod waiting;

use protocol::id::{Authorization, Id, Reference, User};
use protocol::jose::dpop::Thumbprint;
use protocol::oauth::{ClientId, CodeChallenge, ResourceUri, Scope};
use protocol::secret::{Hash, Sealed};
use protocol::world::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use waiting::Waiting;

use crate::codec::Decoder;
use crate::engine::{Engine, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{
    Answer, AuditEvent, ClientRecord, ConsentRecord, GrantRecord, StoreError, audit_events, browser_sessions,
    clients, consents, grants,
};

/// An authorization as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRecord {
    /// Its id; a name, not a secret: the browser's cookie is what binds it (P-10).
    pub id: Id<Authorization>,
    /// The reference that the person sees.
    pub reference: Reference,
    /// Hash of the cookie of the browser that started it.
    pub browser: Hash,
    /// The address that started it.
    pub address: String,
    /// The client that asks.
    pub client_id: ClientId,
    /// What it asks for.
    pub request: AcceptedRequest,
    /// How far it is.
    pub state: AuthorizationState,
    /// When it was asked.
    pub created_at: Timestamp,
    /// Until when the person may decide.
    pub expires_at: Timestamp,
}

/// A new authorization; it starts as [`AuthorizationState::Pending`].
#[derive(Debug, Clone)]
pub struct NewAuthorization {
    /// Its id.
    pub id: Id<Authorization>,
    /// The reference that the person sees.
    pub reference: Reference,
    /// Hash of the cookie of the browser that started it.
    pub browser: Hash,
    /// The address that started it.
    pub address: String,
    /// The network of that address; what the cap counts by.
    pub network: String,
    /// The client that asks.
    pub client_id: ClientId,
    /// What it asks for.
    pub request: AcceptedRequest,
    /// Now.
    pub created_at: Timestamp,
    /// Until when the person may decide.
    pub expires_at: Timestamp,
}

/// An authorization request that passed all checks which do not need the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRequest {
    /// The redirect URI as it was requested, verified against the client's.
    pub redirect_uri: String,
    /// `state`, to be given back untouched.
    pub state: Option<String>,
    /// What is asked for.
    pub scope: Scope,
    /// The one resource it is for (RFC 8707).
    pub resource: ResourceUri,
    /// Our name of the MCP server behind that resource.
    pub server: String,
    /// PKCE, S256 (RFC 7636).
    pub code_challenge: CodeChallenge,
    /// `prompt`, as it was sent.
    pub prompt: Option<String>,
    /// `max_age`, in seconds.
    pub max_age: Option<u64>,
    /// `login_hint`, as it was sent.
    pub login_hint: Option<String>,
    /// The key that the code is bound to (RFC 9449, section 10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_key: Option<Thumbprint>,
    /// Whether another site sent the browser here, so that no consent may be remembered for it (P-9).
    pub from_outside: bool,
    /// The metadata of a client that is known by its document, as it was when this began. The release before this one
    /// neither writes nor reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_metadata: Option<String>,
}

/// How far an authorization is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizationState {
    /// The person said yes and the client holds a code that it has not redeemed.
    Consented {
        /// Who said yes.
        user: Id<User>,
        /// To what.
        scope: Scope,
        /// Hash of the code.
        code_hash: Hash,
        /// Until when the code is good.
        code_expires_at: Timestamp,
        /// Hash of what was shown to the person.
        shown: Hash,
        /// Until when at the latest, if the person said so.
        grant_expires_at: Option<Timestamp>,
        /// How often the code was presented and refused.
        attempts: u32,
    },
    /// The person said no, or what they had said yes to was stopped before the code was redeemed.
    Denied,
    /// Asked; the person has not decided.
    Pending,
    /// The code was redeemed. This row is the evidence by which a replay is recognised.
    Redeemed {
        /// Who said yes.
        user: Id<User>,
        /// To what.
        scope: Scope,
        /// Hash of the code.
        code_hash: Hash,
        /// The grant it gave.
        grant: Id<protocol::id::Grant>,
        /// When.
        redeemed_at: Timestamp,
    },
    /// Asked; the browser was sent to the identity provider and has not come back.
    UpstreamLeg(UpstreamLeg),
}

impl AuthorizationRecord {
    /// For what the verifier of a leg to this connector is sealed (attacks.md, ST-02).
    #[must_use]
    pub fn leg_context<'a>(&'a self, connector: &'a str) -> [&'a [u8]; 6] {
        let owner: [&[u8]; 3] =
            [self.browser.as_bytes(), self.client_id.as_str().as_bytes(), connector.as_bytes()];
        let [browser, client, connector] = owner;
        [b"authorizations", b"upstream_verifier", self.id.as_bytes(), browser, client, connector]
    }
}

/// What is needed to recognise and finish the browser's way to the identity provider and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamLeg {
    /// The connector it leads to.
    pub connector: String,
    /// Hash of the `state` sent there.
    pub state_hash: Hash,
    /// Hash of the cookie of the browser that set out.
    pub leg_hash: Hash,
    /// Hash of the `nonce` sent there.
    pub nonce_hash: Hash,
    /// The PKCE code verifier of this leg, sealed in [`AuthorizationRecord::leg_context`].
    pub verifier: Sealed,
}

/// How many authorizations may wait for a person.
#[derive(Debug, Clone, Copy)]
pub struct PendingCaps {
    /// From one address, or one network where an address costs nothing; exact but for callers at the same instant.
    pub per_address: u32,
    /// In all; told from memory, see [`Authorizations::put_authorization`].
    pub total: u32,
}

/// Whether a new authorization was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// It was.
    Stored,
    /// Too many wait already, from this address or in all.
    TooMany,
}

/// A person's yes.
#[derive(Debug)]
pub struct Consent {
    /// To what.
    pub id: Id<Authorization>,
    /// Whose.
    pub user: Id<User>,
    /// By which browser session they are signed in. It must still be there.
    pub browser_session: Hash,
    /// To which scopes.
    pub scope: Scope,
    /// Hash of the code that the client gets.
    pub code_hash: Hash,
    /// Until when the code is good.
    pub code_expires_at: Timestamp,
    /// Hash of what was shown.
    pub shown: Hash,
    /// Until when at the latest, if the person said so.
    pub grant_expires_at: Option<Timestamp>,
    /// The consent given before on which this one stands, if no page was shown for it. It must still be there.
    pub by: Option<ConsentRecord>,
    /// What is kept of it beyond this authorization.
    pub kept: Vec<ConsentRecord>,
    /// The session at the identity provider in which the person's browser session began, if it is known.
    pub upstream_session: Option<Hash>,
    /// The client: its row is made or brought up to date. `blocked_at` is not written.
    pub client: ClientRecord,
    /// The event of it.
    pub audit: AuditEvent,
}

/// Whether a consent counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentOutcome {
    /// The client has been blocked. Nothing was written.
    ClientBlocked,
    /// It did: the code is good.
    Consented,
    /// The authorization was already decided, or expired; or the consent it stands on is gone. Nothing was written.
    Lost,
    /// The browser session has ended: by the person, or because their provider or an administrator said so. Nothing was
    /// written.
    SignedOut,
}

/// The redemption of a code.
#[derive(Debug)]
pub struct Redeem {
    /// The authorization that gave it.
    pub authorization: Id<Authorization>,
    /// Hash of the code.
    pub code_hash: Hash,
    /// The grant to make.
    pub grant: GrantRecord,
    /// A code that was presented and refused this often is dead.
    pub max_attempts: u32,
    /// The event of it.
    pub audit: AuditEvent,
}

/// Whether a code was redeemed by this caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedeemOutcome {
    /// Somebody redeemed it before, or it expired, or too many attempts failed. Nothing was written.
    Lost,
    /// It was, and the grant is there.
    Redeemed,
}

/// The authorizations in the record.
pub trait Authorizations: Send + Sync {
    /// Stores a new authorization unless too many wait.
    ///
    /// The cap per address is part of the statement. The cap in all is told from a number in memory that is
    /// counted anew by `sweep`, and when it is reached (at most every five seconds), so that a flood costs no
    /// counting; on several nodes it may be passed by what the others took in since.
    fn put_authorization(
        &self,
        new: NewAuthorization,
        caps: PendingCaps,
        now: Timestamp,
    ) -> Answer<'_, PutOutcome>;

    /// The authorization with this id, in whatever state; expiry is the caller's to judge.
    fn find_authorization(&self, id: Id<Authorization>) -> Answer<'_, Option<AuthorizationRecord>>;

    /// The authorization whose upstream leg was sent out with this `state`.
    fn find_authorization_by_leg(&self, state_hash: Hash) -> Answer<'_, Option<AuthorizationRecord>>;

    /// The authorization that gave this code, redeemed or not.
    fn find_by_code(&self, code_hash: Hash) -> Answer<'_, Option<AuthorizationRecord>>;

    /// Sends the browser off to the identity provider. A leg already under way is replaced and is dead from then
    /// on. Whether the authorization was still undecided and not expired.
    fn start_leg(&self, id: Id<Authorization>, leg: UpstreamLeg, now: Timestamp) -> Answer<'_, bool>;

    /// The person's yes: pending becomes consented, at most once, never for a blocked client, and only while the person is
    /// signed in. Whoever ends the session at the same instant either finds the code to be ended, or there is none.
    fn consent(&self, consent: Consent, now: Timestamp) -> Answer<'_, ConsentOutcome>;

    /// The person's no. Whether it was still undecided and not expired. If it is known whose it is, what they allowed this client
    /// at this resource before and has been remembered ends with it.
    fn deny(
        &self,
        id: Id<Authorization>,
        by: Option<Id<User>>,
        audit: AuditEvent,
        now: Timestamp,
    ) -> Answer<'_, bool>;

    /// Counts one refused presentation of an unredeemed code.
    fn count_attempt(&self, id: Id<Authorization>) -> Answer<'_, ()>;

    /// Redeems a code and makes the grant, at most once whoever tries and however many do (OAuth 2.1, section
    /// 4.1.3).
    fn redeem(&self, redeem: Redeem, now: Timestamp) -> Answer<'_, RedeemOutcome>;
}

macro_rules! columns {
    () => {
        "id, reference, browser, address, client_id, resource, request, state, created_at, expires_at, \
         upstream_connector, upstream_state_hash, upstream_leg_hash, upstream_nonce_hash, upstream_verifier, \
         user_id, scope, code_hash, code_expires_at, shown, attempts, grant_id, redeemed_at, \
         grant_expires_at"
    };
}

statement_list! {
    FIND = concat!("SELECT ", columns!(), " FROM authorizations WHERE id = $1");
    FIND_BY_LEG = concat!("SELECT ", columns!(), " FROM authorizations WHERE upstream_state_hash = $1");
    FIND_BY_CODE = concat!("SELECT ", columns!(), " FROM authorizations WHERE code_hash = $1");
    // Whoever waits for an administrator signed in: they have a bound of their own (`client_requests`).
    COUNT_WAITING = "SELECT COUNT(*) FROM authorizations a WHERE a.state IN ('pending', 'upstream_leg') AND a.expires_at > $1 \
        AND NOT EXISTS (SELECT 1 FROM client_requests r WHERE r.authorization_id = a.id)";
    PUT = "INSERT INTO authorizations \
        (id, reference, browser, address, network, client_id, resource, request, state, created_at, expires_at) \
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, $10 WHERE (SELECT COUNT(*) FROM authorizations a \
        WHERE a.state IN ('pending', 'upstream_leg') AND a.network = $5 AND a.expires_at > $11 \
        AND NOT EXISTS (SELECT 1 FROM client_requests r WHERE r.authorization_id = a.id)) < $12";
    START_LEG = "UPDATE authorizations SET state = 'upstream_leg', upstream_connector = $1, \
        upstream_state_hash = $2, upstream_leg_hash = $3, upstream_nonce_hash = $4, upstream_verifier = $5 \
        WHERE id = $6 AND state IN ('pending', 'upstream_leg') AND expires_at > $7";
    CONSENT = "UPDATE authorizations SET state = 'consented', user_id = $1, scope = $2, code_hash = $3, \
        code_expires_at = $4, shown = $5, grant_expires_at = $6, attempts = 0, upstream_session = $7 \
        WHERE id = $8 AND state = 'pending' AND expires_at > $9";
    DENY = "UPDATE authorizations SET state = 'denied', upstream_connector = NULL, \
        upstream_state_hash = NULL, upstream_leg_hash = NULL, upstream_nonce_hash = NULL, \
        upstream_verifier = NULL \
        WHERE id = $1 AND state IN ('pending', 'upstream_leg') AND expires_at > $2";
    COUNT_ATTEMPT = "UPDATE authorizations SET attempts = attempts + 1 WHERE id = $1 AND state = 'consented'";
    REDEEM = "UPDATE authorizations SET state = 'redeemed', grant_id = $1, redeemed_at = $2 \
        WHERE id = $3 AND code_hash = $4 AND state = 'consented' AND code_expires_at > $2 AND attempts < $5";
}

impl Authorizations for Engine {
    fn put_authorization(
        &self,
        new: NewAuthorization,
        caps: PendingCaps,
        now: Timestamp,
    ) -> Answer<'_, PutOutcome> {
        Box::pin(async move {
            if self.waiting().wants_count(caps.total, now) {
                count_waiting(self, now).await?;
            }
            if !self.waiting().has_room(caps.total) {
                return Ok(PutOutcome::TooMany);
            }
            let put = Step::one(PUT, rows::encode(&new, caps.per_address, now)?);
            if !done(self, vec![put]).await? {
                return Ok(PutOutcome::TooMany);
            }
            self.waiting().came();
            Ok(PutOutcome::Stored)
        })
    }

    fn find_authorization(&self, id: Id<Authorization>) -> Answer<'_, Option<AuthorizationRecord>> {
        Box::pin(async move { self.one(FIND, params![id]).await?.map(rows::decode).transpose() })
    }

    fn find_authorization_by_leg(&self, state_hash: Hash) -> Answer<'_, Option<AuthorizationRecord>> {
        Box::pin(
            async move { self.one(FIND_BY_LEG, params![state_hash]).await?.map(rows::decode).transpose() },
        )
    }

    fn find_by_code(&self, code_hash: Hash) -> Answer<'_, Option<AuthorizationRecord>> {
        Box::pin(
            async move { self.one(FIND_BY_CODE, params![code_hash]).await?.map(rows::decode).transpose() },
        )
    }

    fn start_leg(&self, id: Id<Authorization>, leg: UpstreamLeg, now: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move {
            let (state, browser, nonce) = (leg.state_hash, leg.leg_hash, leg.nonce_hash);
            let leg = params![leg.connector, state, browser, nonce, &leg.verifier, id, now];
            done(self, vec![Step::one(START_LEG, leg)]).await
        })
    }

    fn consent(&self, consent: Consent, now: Timestamp) -> Answer<'_, ConsentOutcome> {
        Box::pin(async move {
            let given = params![
                consent.user,
                consent.scope.to_string(),
                consent.code_hash,
                consent.code_expires_at,
                consent.shown,
                consent.grant_expires_at,
                consent.upstream_session,
                consent.id,
                now,
            ];
            let mut steps = vec![
                clients::used(&consent.client),
                browser_sessions::held(consent.browser_session, consent.user, now),
            ];
            steps.extend(consent.by.iter().map(|by| consents::used(by, now)));
            steps.extend(consent.kept.iter().map(consents::put));
            steps.push(Step::one(CONSENT, given));
            audit_events::push(&mut steps, &consent.audit)?;
            match self.write(Write::new(steps)).await? {
                Written::Done(_) => {
                    self.waiting().went();
                    Ok(ConsentOutcome::Consented)
                }
                Written::Missed(0) => Ok(ConsentOutcome::ClientBlocked),
                Written::Missed(1) => Ok(ConsentOutcome::SignedOut),
                Written::Missed(_) => Ok(ConsentOutcome::Lost),
            }
        })
    }

    fn deny(
        &self,
        id: Id<Authorization>,
        by: Option<Id<User>>,
        audit: AuditEvent,
        now: Timestamp,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps: Vec<Step> = by.map(|user| consents::forgotten(user, id)).into_iter().collect();
            steps.push(Step::one(DENY, params![id, now]));
            audit_events::push(&mut steps, &audit)?;
            let denied = done(self, steps).await?;
            if denied {
                self.waiting().went();
            }
            Ok(denied)
        })
    }

    fn count_attempt(&self, id: Id<Authorization>) -> Answer<'_, ()> {
        Box::pin(
            async move { done(self, vec![Step::at_most_one(COUNT_ATTEMPT, params![id])]).await.map(|_| ()) },
        )
    }

    fn redeem(&self, redeem: Redeem, now: Timestamp) -> Answer<'_, RedeemOutcome> {
        Box::pin(async move {
            let redeemed =
                params![redeem.grant.id, now, redeem.authorization, redeem.code_hash, redeem.max_attempts];
            let mut steps = vec![Step::one(REDEEM, redeemed), grants::made(&redeem.grant)];
            audit_events::push(&mut steps, &redeem.audit)?;
            let redeemed = done(self, steps).await?;
            Ok(if redeemed { RedeemOutcome::Redeemed } else { RedeemOutcome::Lost })
        })
    }
}

/// Counts the table anew. Called by the sweep too, which knows what has expired.
pub(crate) async fn count_waiting(engine: &Engine, now: Timestamp) -> Result<(), StoreError> {
    let rows = engine.many(COUNT_WAITING, params![now]).await?;
    let count = rows.into_iter().next().map(|row| Decoder::new("authorizations", row).count("count"));
    engine.waiting().counted(count.transpose()?.unwrap_or(0), now);
    Ok(())
}

/// Does a write of which only whether it happened is of interest.
async fn done(engine: &Engine, steps: Vec<Step>) -> Result<bool, StoreError> {
    Ok(matches!(engine.write(Write::new(steps)).await?, Written::Done(_)))
}

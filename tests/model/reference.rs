//! The reference model: what Sekisho must answer, without HTTP, SQL, keys or nodes. Small enough to be seen to be right.
//!
//! It knows which clients an administrator approved or blocked (P-7), codes (product.md: 60 s, three attempts, one
//! redemption), refresh tokens (P-3) and access tokens (P-1, P-2) by number, who is stopped, and what stands without a browser:
//! of a machine, by an ID-JAG, by an exchange. It says of each request what comes back and what it changes.

use std::collections::BTreeSet;

/// Seconds.
pub(crate) type Time = u64;

const AUTHORIZATION: Time = 10 * 60;
/// How long somebody may wait for an administrator, and for how many clients (P-7).
const APPROVAL: Time = 60 * 60;
const WAITING: usize = 10;
const CODE: Time = 60;
const ATTEMPTS: u32 = 3;
/// A second redemption that comes later than this ends the family (attacks.md, D-3).
const TOLERANCE: Time = 10;
const ACCESS: Time = 10 * 60;
/// How long a repeated refresh is answered.
const REPEAT: Time = 60;
const IDLE: Time = 30 * 24 * 60 * 60;
const LIFE: Time = 180 * 24 * 60 * 60;

/// How far an authorization is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Consented { since: Time, wrong: u32 },
    Denied,
    Redeemed { since: Time, grant: usize },
}

#[derive(Clone, Debug)]
struct Authorization {
    client: usize,
    since: Time,
    state: State,
    /// Whether it waits, or waited, for an administrator.
    parked: bool,
}

/// What a decision of a person comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Counts,
    /// An administrator must say first; they wait.
    NotYet,
    /// Decided before, too late, the client is blocked, or the person waits for too many.
    Refused,
}

/// Who a grant is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// The service account that acts for people.
    Agent,
    /// The person.
    Alice,
    /// The service account that acts for itself.
    Ci,
}

/// By whose client a grant is: one that registered, or the one that needs no browser of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Registered(usize),
    Standing(Who),
}

/// What a client without a browser asks with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    ByAssertion { is_new: bool },
    For { access: usize },
    ForItself,
}

/// What such a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    InvalidClient,
    Refused(&'static str),
    Token,
}

#[derive(Clone, Debug)]
struct Grant {
    by: By,
    of: Who,
    begun: Time,
    used: Time,
    generation: u32,
    ended: bool,
}

/// An access token: on which grants it stands, and until when. More than one: somebody acts for somebody.
#[derive(Clone, Debug)]
struct Access {
    grants: Vec<usize>,
    until: Time,
}

/// What a token request brings: the grant, and the generation of its refresh token; or nothing.
pub(crate) type Bought = Option<(usize, u32)>;

/// Everything that there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    now: Time,
    authorizations: Vec<Authorization>,
    grants: Vec<Grant>,
    access: Vec<Access>,
    approved: BTreeSet<usize>,
    blocked: BTreeSet<usize>,
    /// Whose clients that need no browser are blocked.
    barred: BTreeSet<Who>,
    stopped: BTreeSet<Who>,
    /// The person was here once.
    is_known: bool,
    is_signed_in: bool,
}

impl Reference {
    /// An administrator approves of a client.
    pub(crate) fn approve(&mut self, client: usize) {
        self.approved.insert(client);
    }

    /// An administrator blocks a client: all it has ends, and what it was allowed goes.
    pub(crate) fn block(&mut self, client: usize) {
        self.blocked.insert(client);
        self.approved.remove(&client);
        for grant in self.grants.iter_mut().filter(|grant| grant.by == By::Registered(client)) {
            grant.ended = true;
        }
        for asked in self.authorizations.iter_mut().filter(|asked| asked.client == client) {
            if matches!(asked.state, State::Consented { .. }) {
                asked.state = State::Denied;
            }
        }
    }

    /// Whether an administrator approved of a client.
    pub(crate) fn is_approved(&self, client: usize) -> bool {
        self.approved.contains(&client)
    }

    /// An administrator blocks the client of somebody who needs no browser, or takes that back.
    pub(crate) fn bar(&mut self, who: Who, bar: bool) {
        if !bar {
            self.barred.remove(&who);
            return;
        }
        self.barred.insert(who);
        self.end(|grant| grant.by == By::Standing(who));
    }

    /// The operator stops somebody, or the identity provider says that they logged out: all they have ends. With `block` they
    /// stay out.
    pub(crate) fn stop(&mut self, who: Who, block: bool) {
        if block {
            self.stopped.insert(who);
        }
        self.end(|grant| grant.of == who);
        if who == Who::Alice {
            self.is_signed_in = false;
            for asked in &mut self.authorizations {
                if matches!(asked.state, State::Consented { .. }) {
                    asked.state = State::Denied;
                }
            }
        }
    }

    /// The operator lets somebody in again.
    pub(crate) fn allow(&mut self, who: Who) {
        self.stopped.remove(&who);
    }

    /// Whether somebody is kept out.
    pub(crate) fn is_stopped(&self, who: Who) -> bool {
        self.stopped.contains(&who)
    }

    /// Whether the person is signed in in their browser.
    pub(crate) fn is_signed_in(&self) -> bool {
        self.is_signed_in
    }

    fn end(&mut self, which: impl Fn(&Grant) -> bool) {
        for grant in self.grants.iter_mut().filter(|grant| which(grant)) {
            grant.ended = true;
        }
    }

    /// A client without a browser asks for a token.
    pub(crate) fn stand(&mut self, who: Who, asked: &Asked) -> Told {
        if self.barred.contains(&who) {
            return Told::InvalidClient;
        }
        let until = self.now + ACCESS;
        let (mut grants, until) = match *asked {
            Asked::ForItself if self.is_stopped(who) => return Told::Refused("unauthorized_client"),
            Asked::ForItself => (Vec::new(), until),
            Asked::ByAssertion { is_new } => {
                if !is_new || !self.is_known || self.is_stopped(who) {
                    return Told::Refused("invalid_grant");
                }
                (Vec::new(), until)
            }
            Asked::For { access } => {
                let of = self.access[access].clone();
                let is_of = |of: &usize, who| self.grants[*of].of == who;
                if !self.call(access) || of.grants.iter().any(|grant| is_of(grant, Who::Ci)) {
                    return Told::Refused("invalid_request");
                }
                if self.is_stopped(who) {
                    return Told::Refused("unauthorized_client");
                }
                // Nobody acts twice.
                if of.grants.iter().any(|grant| is_of(grant, who)) {
                    return Told::Refused("invalid_request");
                }
                (of.grants, until.min(of.until))
            }
        };
        grants.push(self.standing(who));
        self.access.push(Access { grants, until });
        Told::Token
    }

    /// The one grant of somebody without a browser, as long as it is alive; then another.
    fn standing(&mut self, who: Who) -> usize {
        let is_it = |grant: &Grant| grant.by == By::Standing(who) && !grant.ended;
        if let Some(found) = self.grants.iter().position(is_it) {
            return found;
        }
        let (begun, used) = (self.now, self.now);
        self.grants.push(Grant { by: By::Standing(who), of: who, begun, used, generation: 0, ended: false });
        self.grants.len() - 1
    }

    /// An administrator takes a block away.
    pub(crate) fn unblock(&mut self, client: usize) {
        self.blocked.remove(&client);
    }

    /// Whether nobody may use a client.
    pub(crate) fn is_blocked(&self, client: usize) -> bool {
        self.blocked.contains(&client)
    }

    /// Makes a person wait, unless they wait for too many. Whether they wait.
    fn park(&mut self, authorization: usize) -> bool {
        let waits = |asked: &&Authorization| {
            asked.parked && asked.state == State::Asked && self.now < asked.since + APPROVAL
        };
        let has_room = self.authorizations.iter().filter(waits).count() < WAITING;
        let asked = &mut self.authorizations[authorization];
        asked.parked |= has_room;
        asked.parked
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, seconds: Time) {
        self.now += seconds;
    }

    /// Since the beginning.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// A client that is not blocked asks; its authorization is the next number.
    pub(crate) fn ask(&mut self, client: usize) {
        (self.is_known, self.is_signed_in) = (true, true);
        let (since, state) = (self.now, State::Asked);
        self.authorizations.push(Authorization { client, since, state, parked: false });
        if !self.approved.contains(&client) {
            self.park(self.authorizations.len() - 1);
        }
    }

    /// What a person's yes or no comes to.
    pub(crate) fn decide(&mut self, authorization: usize, yes: bool) -> Decided {
        let now = self.now;
        let asked = &self.authorizations[authorization];
        let life = if asked.parked { APPROVAL } else { AUTHORIZATION };
        if asked.state != State::Asked || now >= asked.since + life || self.is_blocked(asked.client) {
            return Decided::Refused;
        }
        if !self.approved.contains(&asked.client) {
            return if self.park(authorization) { Decided::NotYet } else { Decided::Refused };
        }
        self.authorizations[authorization].state =
            if yes { State::Consented { since: now, wrong: 0 } } else { State::Denied };
        Decided::Counts
    }

    /// A code, by the number of its authorization.
    pub(crate) fn redeem(&mut self, authorization: usize, client: usize, right_verifier: bool) -> Bought {
        let asked = &mut self.authorizations[authorization];
        let right = asked.client == client && right_verifier;
        match &mut asked.state {
            State::Asked | State::Denied => None,
            State::Consented { since, wrong } => {
                if *wrong >= ATTEMPTS || self.now >= *since + CODE {
                    return None;
                }
                if !right {
                    *wrong += 1;
                    return None;
                }
                let grant = self.grants.len();
                asked.state = State::Redeemed { since: self.now, grant };
                let (begun, used) = (self.now, self.now);
                let (by, of) = (By::Registered(client), Who::Alice);
                self.grants.push(Grant { by, of, begun, used, generation: 0, ended: false });
                self.access.push(Access { grants: vec![grant], until: self.now + ACCESS });
                Some((grant, 0))
            }
            State::Redeemed { since, grant } => {
                if right && self.now > *since + TOLERANCE {
                    self.grants[*grant].ended = true;
                }
                None
            }
        }
    }

    /// A refresh token, by grant and generation.
    pub(crate) fn refresh(&mut self, grant: usize, generation: u32, client: usize) -> Bought {
        let held = &mut self.grants[grant];
        let over = self.now >= held.used + IDLE || self.now >= held.begun + LIFE;
        if held.by != By::Registered(client) || held.ended || over {
            return None;
        }
        if generation == held.generation {
            (held.generation, held.used) = (generation + 1, self.now);
        } else if generation + 1 != held.generation || self.now > held.used + REPEAT {
            held.ended = true;
            return None;
        }
        let until = (self.now + ACCESS).min(held.begun + LIFE);
        let generation = held.generation;
        self.access.push(Access { grants: vec![grant], until });
        Some((grant, generation))
    }

    /// A revocation is always answered with 200; it ends the grant of whoever asks.
    pub(crate) fn revoke(&mut self, grant: usize, client: usize) {
        let held = &mut self.grants[grant];
        held.ended |= held.by == By::Registered(client);
    }

    /// Whether a call goes through, by the number of its access token.
    pub(crate) fn call(&self, access: usize) -> bool {
        let Access { grants, until } = &self.access[access];
        self.now < *until && grants.iter().all(|grant| !self.grants[*grant].ended)
    }

    /// The client of a grant that came from a code.
    pub(crate) fn client_of(&self, grant: usize) -> usize {
        match self.grants[grant].by {
            By::Registered(client) => client,
            By::Standing(_) => 0,
        }
    }

    /// The grant of an access token that came from a code.
    pub(crate) fn code_grant_of(&self, access: usize) -> Option<usize> {
        let only = |grants: &[usize]| match grants {
            [only] => Some(*only),
            _ => None,
        };
        only(&self.access[access].grants).filter(|only| matches!(self.grants[*only].by, By::Registered(_)))
    }
}

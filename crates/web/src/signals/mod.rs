//! Where identity providers say that somebody is out: parse, one call of the role, respond.
//!
//! Every answer is the same whether or not the person is known here.

pub(crate) mod backchannel_logout;
pub(crate) mod global_token_revocation;
pub(crate) mod security_events;

use authorization_server::{SignalError, Signalled};

use crate::front::Visit;
use crate::respond::Failure;

/// By which ways they say it, as metrics name them.
pub(crate) const NAMES: [&str; 3] =
    [backchannel_logout::NAME, global_token_revocation::NAME, security_events::NAME];

/// Counts what was said, and logs what was refused.
fn told(visit: &Visit, signal: &'static str, answer: &Result<Signalled, SignalError>) {
    let outcome = match answer {
        Ok(signalled) => signalled.outcome(),
        Err(error) => {
            Failure {
                blame: error.blame().into(),
                endpoint: signal,
                error: Some(error),
                reason: error.reason(),
                reference: None,
            }
            .log(visit);
            error.reason()
        }
    };
    visit.front.metrics.signal(signal, outcome);
}

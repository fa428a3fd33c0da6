//! Workloads: programs that a platform speaks for (SEP-1933). Which platforms are believed, and which of their workloads act
//! as which service account.
//!
//! To believe a platform and to admit one of its workloads are two decisions: without a rule nobody gets in, and a rule that
//! would let everybody of a platform in is none ([`RuleFlaw::Everybody`]). An issuer that is believed here speaks of no
//! person, and one that speaks of people speaks of no workload.

mod pattern;
mod rule;

use std::time::Duration;

pub use pattern::{Pattern, PatternError};
pub use rule::{RuleFlaw, WorkloadRule};

use crate::trusted_issuers::IssuerKeys;

/// One issuer of JWTs of workloads.
#[derive(Debug, Clone)]
pub struct WorkloadIssuer {
    /// Its issuer identifier, byte for byte.
    pub issuer: String,
    /// Its keys.
    pub keys: IssuerKeys,
    /// How long a JWT may be good for, from now.
    pub longest_life: Duration,
    /// What kind of platform it is.
    pub platform: Platform,
    /// Whether the same JWT may come again until it ends. Otherwise each is used once, by its `jti`.
    pub reuse: bool,
}

/// A kind of platform: what its `sub` looks like, and which claims tell one tenant from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// GitHub Actions: everybody in the world has workloads there.
    GitHubActions,
    /// A Kubernetes cluster.
    Kubernetes,
    /// Any other that has a JWK set.
    Other,
    /// A SPIFFE trust domain.
    Spiffe,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::GitHubActions, Self::Kubernetes, Self::Spiffe, Self::Other];

    /// As the configuration names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHubActions => "github-actions",
            Self::Kubernetes => "kubernetes",
            Self::Other => "other",
            Self::Spiffe => "spiffe",
        }
    }

    /// Whether the platform hands out the same JWT until it is nearly over: the kubelet keeps the file until four fifths of
    /// its life are gone, and the SPIFFE Workload API caches (JWT-SVID, section 7.1: `jti` is not required). GitHub makes a
    /// new one for each request.
    #[must_use]
    pub const fn repeats_itself(self) -> bool {
        match self {
            Self::GitHubActions | Self::Other => false,
            Self::Kubernetes | Self::Spiffe => true,
        }
    }

    /// The kind that an issuer must be written down as, if it is one that everybody in the world has workloads at.
    #[must_use]
    pub fn known_by_issuer(issuer: &str) -> Option<Self> {
        const GITHUB: &str = "https://token.actions.githubusercontent.com";
        // An enterprise may have a path of its own there.
        let rest = issuer.strip_prefix(GITHUB)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(Self::GitHubActions)
    }
}

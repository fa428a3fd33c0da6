//! What all slices of one library share: its schema, and of what questions are made, kept ready.
//!
//! To make an entity, an address or a time for Cedar takes longer than to ask a policy about it. What is kept here is bounded,
//! and is found again only by everything that it was made of.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::{Context, RestrictedExpression, Schema};
use protocol::world::Timestamp;
use quick_cache::sync::Cache;

use super::action::Names;
use super::arguments;
use super::asked::{Asked, Ground, Unasked};
use super::declarations::Declarations;
use super::key::Key;
use super::reads::Reads;
use super::typed::Typed;

/// How many grounds of questions are kept.
const GROUNDS: usize = 4096;
/// How many addresses are kept.
const ADDRESSES: usize = 1024;

/// What all MCP servers share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) names: Names,
    pub(super) schema: Schema,
    /// The arguments that policies can look at.
    pub(super) arguments: arguments::Names,
    pub(super) typed: Typed,
    /// The text of all files: whether two libraries are one.
    pub(super) text: String,
    addresses: Cache<IpAddr, RestrictedExpression>,
    grounds: Cache<Box<[u8]>, Arc<Ground>>,
    /// The last second that was asked about.
    second: Mutex<Option<Second>>,
}

/// One second.
#[derive(Debug, Clone)]
pub(super) struct Second {
    at: i64,
    pub(super) time: RestrictedExpression,
    /// A context with nothing but the time, read once: Cedar reads the text of a time anew for each context.
    pub(super) alone: Context,
}

impl Common {
    pub(super) fn new(names: Names, declared: Declarations, text: String) -> Self {
        let Declarations { schema, names: arguments, typed } = declared;
        let (addresses, grounds) = (Cache::new(ADDRESSES), Cache::new(GROUNDS));
        Self { names, schema, arguments, typed, text, addresses, grounds, second: Mutex::new(None) }
    }

    /// An IPv4 address in the clothes of IPv6 is still that address.
    pub(super) fn address(&self, address: IpAddr) -> RestrictedExpression {
        let address = address.to_canonical();
        self.addresses.get(&address).unwrap_or_else(|| {
            let made = RestrictedExpression::new_ip(address.to_string());
            self.addresses.insert(address, made.clone());
            made
        })
    }

    /// The time, to the second.
    pub(super) fn second(&self, now: Timestamp) -> Result<Second, Unasked> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        match &*second {
            Some(known) if known.at == now.secs() => Ok(known.clone()),
            Some(_) | None => {
                let time = RestrictedExpression::new_datetime(second_text(now)?);
                let alone = Context::from_pairs([("time".to_owned(), time.clone())]).map_err(|_| Unasked)?;
                let made = Second { at: now.secs(), time, alone };
                *second = Some(made.clone());
                Ok(made)
            }
        }
    }

    /// Who asks and what is asked for, as far as a policy looks at them.
    pub(super) fn ground(
        &self,
        asked: &Asked<'_>,
        server: &str,
        reads: Reads,
    ) -> Result<Arc<Ground>, Unasked> {
        let mut key = Key::new();
        key.part(asked.action.name().as_bytes());
        key.number(usize::from(reads.principal));
        if reads.principal {
            key.person(asked.person);
        }
        key.number(usize::from(reads.resource));
        if reads.resource {
            key.part(server.as_bytes());
            key.part(asked.name.as_bytes());
        }
        let Some(key) = key.finished() else {
            return Ground::of(asked, server, reads, &self.names).map(Arc::new);
        };
        if let Some(known) = self.grounds.get(key.as_slice()) {
            return Ok(known);
        }
        let made = Arc::new(Ground::of(asked, server, reads, &self.names)?);
        self.grounds.insert(key.into_boxed_slice(), Arc::clone(&made));
        Ok(made)
    }
}

/// RFC 3339, in UTC and in seconds.
pub(super) fn second_text(now: Timestamp) -> Result<String, Unasked> {
    jiff::Timestamp::from_second(now.secs()).map(|now| now.to_string()).map_err(|_| Unasked)
}

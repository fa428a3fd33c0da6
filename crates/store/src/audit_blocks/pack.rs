//! Packing: who called and what was called stand once in a block, and each event is a few bytes beside its id.
//!
//! The format, version 1. Numbers are LEB128; a text is its length and its bytes; "or none" is one more than the
//! place, 0 for none.
//!
//! ```text
//! 1                            version
//! n, n × text                  texts
//! n, n × who                   flags (1 user, 2 grant, 4 subject), 16 bytes for each that is there,
//!                              client, server: places among the texts, or none
//! n, n × what                  kind, outcome: places among the texts; reason, or none; method; name, or none; status
//! n, n × event                 in the order of time and id: microseconds since the event before (since 1970 for the
//!                              first), 16 bytes id, place of who, place of what, milliseconds, bytes
//! ```

use std::collections::HashMap;
use std::hash::Hash;

use super::{AuditBlock, CallEvent};

pub(super) const VERSION: u8 = 1;
pub(super) const HAS_USER: u8 = 1;
pub(super) const HAS_GRANT: u8 = 2;
pub(super) const HAS_SUBJECT: u8 = 4;

/// About what an event takes.
const EVENT_BYTES: usize = 28;

/// Events in the order of time and id, all within the span of a block. `None` if there are none.
pub(super) fn block(events: &[CallEvent<'_>]) -> Option<AuditBlock> {
    let (first, last) = (events.first()?, events.last()?);
    let mut tables = Tables::default();
    let mut body = Vec::with_capacity(events.len() * EVENT_BYTES);
    let mut before = 0;
    for event in events {
        let at = event.at.micros();
        // The first time may be before 1970 only if a clock is broken; as bits it comes back all the same.
        number(&mut body, at.wrapping_sub(before).cast_unsigned());
        before = at;
        body.extend_from_slice(event.id.as_bytes());
        let (who, what) = (tables.who(event), tables.what(event));
        number(&mut body, u64::from(who));
        number(&mut body, u64::from(what));
        number(&mut body, event.duration_ms);
        number(&mut body, event.bytes);
    }
    Some(AuditBlock {
        id: first.id,
        first_at: first.at,
        last_at: last.at,
        events: u32::try_from(events.len()).ok()?,
        packed: tables.into_packed(events.len(), &body),
    })
}

/// What in an event tells who called. `grant` and `subject` nearly always settle it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WhoKey([Option<[u8; 16]>; 3]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct WhatKey<'a>(&'static str, &'static str, Option<&'a str>, &'a str, Option<&'a str>, u16);

/// What stands once in a block.
#[derive(Debug, Default)]
struct Tables<'a> {
    texts: Table<&'a str>,
    whats: Table<WhatKey<'a>>,
    who_places: HashMap<WhoKey, u32>,
    /// Client and server of each who, to be compared.
    whos: Vec<[Option<&'a str>; 2]>,
    packed_whos: Vec<u8>,
    packed_whats: Vec<u8>,
}

impl<'a> Tables<'a> {
    fn who(&mut self, event: &CallEvent<'a>) -> u32 {
        let ids = [event.user.map(|id| *id.as_bytes()), event.grant.map(|id| *id.as_bytes()), event.subject];
        let texts = [event.client_id, event.server];
        let key = WhoKey(ids);
        if let Some(place) = self.who_places.get(&key)
            && self.whos.get(*place as usize) == Some(&texts)
        {
            return *place;
        }
        let flag = |id: Option<[u8; 16]>, flag| if id.is_some() { flag } else { 0 };
        let [user, grant, subject] = ids;
        self.packed_whos.push(flag(user, HAS_USER) | flag(grant, HAS_GRANT) | flag(subject, HAS_SUBJECT));
        for id in ids.iter().flatten() {
            self.packed_whos.extend_from_slice(id);
        }
        for text in texts {
            let place = self.text_or_none(text);
            number(&mut self.packed_whos, place);
        }
        let place = place(self.whos.len());
        self.whos.push(texts);
        self.who_places.insert(key, place);
        place
    }

    fn what(&mut self, event: &CallEvent<'a>) -> u32 {
        let (kind, outcome) = (event.kind().as_str(), event.outcome.as_str());
        let key = WhatKey(kind, outcome, event.reason, event.method, event.name, event.status);
        if let Some(place) = self.whats.places.get(&key) {
            return *place;
        }
        let texts = [
            u64::from(self.texts.put(kind)),
            u64::from(self.texts.put(outcome)),
            self.text_or_none(event.reason),
            u64::from(self.texts.put(event.method)),
            self.text_or_none(event.name),
            u64::from(event.status),
        ];
        for value in texts {
            number(&mut self.packed_whats, value);
        }
        self.whats.put(key)
    }

    fn text_or_none(&mut self, text: Option<&'a str>) -> u64 {
        text.map_or(0, |text| u64::from(self.texts.put(text)) + 1)
    }

    fn into_packed(self, events: usize, body: &[u8]) -> Vec<u8> {
        let texts: usize = self.texts.list.iter().map(|text| text.len() + 3).sum();
        let room = texts + self.packed_whos.len() + self.packed_whats.len() + body.len() + 32;
        let mut packed = Vec::with_capacity(room);
        packed.push(VERSION);
        number(&mut packed, self.texts.list.len() as u64);
        for text in &self.texts.list {
            number(&mut packed, text.len() as u64);
            packed.extend_from_slice(text.as_bytes());
        }
        number(&mut packed, self.whos.len() as u64);
        packed.extend_from_slice(&self.packed_whos);
        number(&mut packed, self.whats.list.len() as u64);
        packed.extend_from_slice(&self.packed_whats);
        number(&mut packed, events as u64);
        packed.extend_from_slice(body);
        packed
    }
}

/// Things in the order in which they first came.
#[derive(Debug)]
struct Table<K> {
    places: HashMap<K, u32>,
    list: Vec<K>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { places: HashMap::new(), list: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn put(&mut self, key: K) -> u32 {
        let next = place(self.list.len());
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.list.push(key);
        }
        place
    }
}

/// A block never holds so many that this matters.
fn place(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// LEB128.
fn number(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.push(value.to_le_bytes()[0]);
}

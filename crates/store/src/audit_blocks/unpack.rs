//! Unpacking a block, for lists. The format is described where it is written, in `pack.rs`.
//!
//! What is not a whole block of version 1 is refused whole: no length in it is believed before its bytes are there.

use std::collections::BTreeMap;

use protocol::id::{Grant, Id, User};
use protocol::world::Timestamp;

use super::pack::{HAS_GRANT, HAS_SUBJECT, HAS_USER, VERSION};
use crate::audit_events::Outcome;
use crate::queries::{AuditFilter, AuditRow};

/// A block whose tables were read.
#[derive(Debug)]
pub(crate) struct Unpacked<'a> {
    texts: Vec<&'a str>,
    whos: Vec<Who<'a>>,
    whats: Vec<What<'a>>,
    events: Vec<Event>,
}

/// One event of a block, its tables aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) id: Id<protocol::id::AuditEvent>,
    who: usize,
    what: usize,
    duration_ms: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Who<'a> {
    user: Option<Id<User>>,
    grant: Option<Id<Grant>>,
    subject: Option<[u8; 16]>,
    client_id: Option<&'a str>,
    server: Option<&'a str>,
}

#[derive(Debug)]
struct What<'a> {
    kind: &'a str,
    outcome: Outcome,
    reason: Option<&'a str>,
    method: &'a str,
    name: Option<&'a str>,
    status: u64,
}

impl<'a> Unpacked<'a> {
    /// `None` if it is not a block that this release knows.
    pub(crate) fn read(packed: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(packed);
        if reader.byte()? != VERSION {
            return None;
        }
        let mut block = Self { texts: Vec::new(), whos: Vec::new(), whats: Vec::new(), events: Vec::new() };
        for _ in 0..reader.number()? {
            let text = reader.text()?;
            block.texts.push(text);
        }
        for _ in 0..reader.number()? {
            let who = block.who(&mut reader)?;
            block.whos.push(who);
        }
        for _ in 0..reader.number()? {
            let what = block.what(&mut reader)?;
            block.whats.push(what);
        }
        let mut before = 0;
        for _ in 0..reader.number()? {
            let event = block.event(&mut reader, before)?;
            before = event.at.micros();
            block.events.push(event);
        }
        reader.0.is_empty().then_some(block)
    }

    /// The events that a filter lets through, in the order of time and id.
    pub(crate) fn matching(&self, filter: &AuditFilter) -> impl DoubleEndedIterator<Item = Event> {
        let whos: Vec<bool> = self.whos.iter().map(|who| who.is_wanted(filter)).collect();
        let kind = |what: &What<'_>| filter.kind.is_none_or(|kind| kind.as_str() == what.kind);
        let whats: Vec<bool> = self.whats.iter().map(kind).collect();
        let (since, until) = (filter.since, filter.until);
        self.events.iter().copied().filter(move |event| {
            whos.get(event.who) == Some(&true)
                && whats.get(event.what) == Some(&true)
                && since.is_none_or(|since| event.at >= since)
                && until.is_none_or(|until| event.at < until)
        })
    }

    /// An event as it is shown, without name and address, and where these stand.
    pub(crate) fn row(&self, event: Event, sealed: bool) -> Option<(AuditRow, Option<[u8; 16]>)> {
        let (who, what) = (self.whos.get(event.who)?, self.whats.get(event.what)?);
        let mut detail = BTreeMap::from([
            ("bytes".to_owned(), event.bytes.to_string()),
            ("duration_ms".to_owned(), event.duration_ms.to_string()),
            ("method".to_owned(), what.method.to_owned()),
            ("status".to_owned(), what.status.to_string()),
        ]);
        if let Some(name) = what.name {
            detail.insert("name".to_owned(), name.to_owned());
        }
        let row = AuditRow {
            id: event.id,
            at: event.at,
            kind: what.kind.to_owned(),
            outcome: what.outcome,
            reason: what.reason.map(str::to_owned),
            reference: None,
            user: who.user,
            client_id: who.client_id.map(str::to_owned),
            server: who.server.map(str::to_owned),
            grant: who.grant,
            name: None,
            address: None,
            detail,
            sealed,
        };
        Some((row, who.subject))
    }

    /// Under which ids the personal data of somebody stands.
    pub(crate) fn subjects_of(&self, user: Id<User>) -> Vec<[u8; 16]> {
        self.whos.iter().filter(|who| who.user == Some(user)).filter_map(|who| who.subject).collect()
    }

    /// Under which ids any personal data stands.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = [u8; 16]> {
        self.whos.iter().filter_map(|who| who.subject)
    }

    /// The same, and whose it is.
    pub(crate) fn subjects_and_users(&self) -> impl Iterator<Item = ([u8; 16], Option<Id<User>>)> {
        self.whos.iter().filter_map(|who| Some((who.subject?, who.user)))
    }

    /// Time, person and MCP server of each event.
    pub(crate) fn who_and_where(
        &self,
    ) -> impl Iterator<Item = (Timestamp, Option<Id<User>>, Option<&'a str>)> {
        self.events.iter().filter_map(|event| {
            let who = self.whos.get(event.who)?;
            Some((event.at, who.user, who.server))
        })
    }

    fn who(&self, reader: &mut Reader<'a>) -> Option<Who<'a>> {
        let flags = reader.byte()?;
        if flags > HAS_USER | HAS_GRANT | HAS_SUBJECT {
            return None;
        }
        let mut id = |flag: u8| if flags & flag == 0 { Some(None) } else { reader.array().map(Some) };
        let (user, grant, subject) = (id(HAS_USER)?, id(HAS_GRANT)?, id(HAS_SUBJECT)?);
        let (client_id, server) = (self.text_or_none(reader)?, self.text_or_none(reader)?);
        let (user, grant) = (user.map(Id::from_bytes), grant.map(Id::from_bytes));
        Some(Who { user, grant, subject, client_id, server })
    }

    fn what(&self, reader: &mut Reader<'a>) -> Option<What<'a>> {
        let (kind, outcome) = (self.text(reader)?, self.text(reader)?);
        Some(What {
            kind,
            outcome: Outcome::ALL.into_iter().find(|known| known.as_str() == outcome)?,
            reason: self.text_or_none(reader)?,
            method: self.text(reader)?,
            name: self.text_or_none(reader)?,
            status: reader.number()?,
        })
    }

    fn event(&self, reader: &mut Reader<'a>, before: i64) -> Option<Event> {
        let at = before.wrapping_add(reader.number()?.cast_signed());
        let event = Event {
            at: Timestamp::from_micros(at),
            id: Id::from_bytes(reader.array()?),
            who: reader.place()?,
            what: reader.place()?,
            duration_ms: reader.number()?,
            bytes: reader.number()?,
        };
        (event.who < self.whos.len() && event.what < self.whats.len()).then_some(event)
    }

    fn text(&self, reader: &mut Reader<'a>) -> Option<&'a str> {
        self.texts.get(reader.place()?).copied()
    }

    fn text_or_none(&self, reader: &mut Reader<'a>) -> Option<Option<&'a str>> {
        match reader.place()? {
            0 => Some(None),
            place => self.texts.get(place - 1).copied().map(Some),
        }
    }
}

impl Who<'_> {
    fn is_wanted(&self, filter: &AuditFilter) -> bool {
        filter.user.is_none_or(|user| self.user == Some(user))
            && filter.client_id.as_ref().is_none_or(|client| self.client_id == Some(client.as_str()))
            && filter.server.as_ref().is_none_or(|server| self.server == Some(server.as_str()))
            && filter.reference.is_none()
    }
}

/// The bytes that were not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn place(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.place()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests;

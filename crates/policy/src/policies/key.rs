//! Under what something is remembered: its parts one after the other, each after its length, so that no two have one key.

use crate::Person;

/// What is longer is not remembered.
const LONGEST: usize = 1024;

/// A key that is being made.
#[derive(Debug)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(192))
    }

    pub(super) fn part(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, number: usize) {
        self.0.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    }

    /// Everything of a person that a policy can see.
    pub(super) fn person(&mut self, person: &Person<'_>) {
        if let Some(name) = person.service_account {
            self.number(1);
            return self.part(name.as_bytes());
        }
        self.number(0);
        self.part(person.user.as_bytes());
        self.number(usize::from(person.email.is_some()));
        self.part(person.email.unwrap_or_default().as_bytes());
        self.number(person.groups.len());
        person.groups.iter().for_each(|group| self.part(group.as_bytes()));
    }

    /// The key, unless it is too long to be kept.
    pub(super) fn finished(self) -> Option<Vec<u8>> {
        (self.0.len() <= LONGEST).then_some(self.0)
    }
}

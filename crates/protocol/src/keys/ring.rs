//! A ring of keys of one purpose: one that works, and older ones that are still understood.

use super::KeyId;

/// A key that says its id.
pub trait NamedKey {
    /// The id written into what this key makes.
    fn id(&self) -> KeyId;
}

/// The active key, which makes, and the older ones, which only open, verify or are still published.
#[derive(Debug)]
pub struct KeyRing<K: NamedKey> {
    active: K,
    older: Vec<K>,
}

impl<K: NamedKey> KeyRing<K> {
    /// A ring of these keys.
    #[must_use]
    pub const fn new(active: K, older: Vec<K>) -> Self {
        Self { active, older }
    }

    /// The key to make new things with.
    #[must_use]
    pub const fn active(&self) -> &K {
        &self.active
    }

    /// The key with this id, active or older.
    #[must_use]
    pub fn find(&self, id: KeyId) -> Option<&K> {
        self.iter().find(|key| key.id() == id)
    }

    /// All keys, the active one first.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        std::iter::once(&self.active).chain(&self.older)
    }
}

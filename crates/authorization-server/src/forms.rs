//! Forms that cannot be sent by anybody else (OAuth 2.1, section 7.12): a mark over the sign-in, the browser and, on
//! the consent page, the facts that were shown.
//!
//! A form of one page is never accepted for another: the label is part of the mark.

use std::fmt::Write as _;

use protocol::id::{Authorization, Id, User};
use protocol::keys::{KeyRing, MacKey};
use protocol::secret::{Hash, Secret};

use crate::pages::FormToken;

const CONNECT: &str = "form: connect";
const CONSENT: &str = "form: consent";
const LOGIN: &str = "form: login";

/// Whether somebody was signed in in the browser when a login page was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShownTo {
    /// Nobody was.
    Nobody,
    /// Somebody was, and may want to be somebody else ("not you?").
    Somebody,
}

impl ShownTo {
    const fn letter(self) -> char {
        match self {
            Self::Nobody => 'n',
            Self::Somebody => 's',
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Nobody, Self::Somebody].into_iter().find(|shown| text.chars().eq([shown.letter()]))
    }

    fn mac(self, key: &MacKey, id: Id<Authorization>, binding: &Hash) -> [u8; 32] {
        key.mac(LOGIN, &[id.as_bytes(), binding.as_bytes(), self.letter().to_string().as_bytes()])
    }
}

/// The token of the login page's form.
pub(crate) fn login_token(
    keys: &KeyRing<MacKey>,
    id: Id<Authorization>,
    binding: &Hash,
    shown: ShownTo,
) -> FormToken {
    FormToken::new(format!("{}.{}", shown.letter(), hex(&shown.mac(keys.active(), id, binding))))
}

/// To whom the page of a login form was shown, if it was made for this sign-in in this browser.
pub(crate) fn read_login_form(
    keys: &KeyRing<MacKey>,
    presented: &str,
    id: Id<Authorization>,
    binding: &Hash,
) -> Option<ShownTo> {
    let (shown, mark) = presented.split_once('.')?;
    let shown = ShownTo::parse(shown)?;
    marked(keys, mark, |key| shown.mac(key, id, binding)).then_some(shown)
}

/// Whose the form of a consent page is: this person's in this browser. Not the browser session's, which another sign-in
/// of the same person in another tab replaces (attacks.md, CS-02); somebody else's is another's (CS-07).
pub(crate) fn holder(browser: &Hash, user: Id<User>) -> Hash {
    Hash::of(&[browser.as_bytes().as_slice(), user.as_bytes().as_slice()].concat())
}

/// The token of the consent page's form: what was shown, and the mark over it.
pub(crate) fn consent_token(
    keys: &KeyRing<MacKey>,
    id: Id<Authorization>,
    holder: &Hash,
    shown: &Hash,
) -> FormToken {
    let mark = keys.active().mac(CONSENT, &[id.as_bytes(), holder.as_bytes(), shown.as_bytes()]);
    FormToken::new(format!("{}.{}", hex(shown.as_bytes()), hex(&mark)))
}

/// The token of the forms of a page on which accounts are connected, for its holder.
pub(crate) fn connect_token(keys: &KeyRing<MacKey>, place: &str, holder: &Hash) -> FormToken {
    FormToken::new(hex(&keys.active().mac(CONNECT, &[place.as_bytes(), holder.as_bytes()])))
}

/// Whether a form is of that page, for this holder.
pub(crate) fn is_connect_form(keys: &KeyRing<MacKey>, presented: &str, place: &str, holder: &Hash) -> bool {
    marked(keys, presented, |key| key.mac(CONNECT, &[place.as_bytes(), holder.as_bytes()]))
}

/// What a consent form says of the page it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is ours, and the page showed just this.
    Current,
    /// It is not of this sign-in, browser and person.
    Foreign,
    /// It is ours, but the page showed something else.
    Stale,
}

/// Judges a consent form.
pub(crate) fn judge_consent_form(
    keys: &KeyRing<MacKey>,
    presented: &str,
    id: Id<Authorization>,
    holder: &Hash,
    shown: &Hash,
) -> Judgement {
    let Some((claimed, mark)) = presented.split_once('.') else { return Judgement::Foreign };
    let Some(claimed) = unhex(claimed) else { return Judgement::Foreign };
    if !marked(keys, mark, |key| key.mac(CONSENT, &[id.as_bytes(), holder.as_bytes(), &claimed])) {
        return Judgement::Foreign;
    }
    if Hash::from_bytes(claimed).matches(shown) { Judgement::Current } else { Judgement::Stale }
}

/// Compares texts in constant time, under every key that is still understood.
fn marked(keys: &KeyRing<MacKey>, presented: &str, expected: impl Fn(&MacKey) -> [u8; 32]) -> bool {
    let presented = Secret::new(presented.to_owned());
    keys.iter().any(|key| presented.matches(&Secret::new(hex(&expected(key)))))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let well_formed =
        text.len() == 64 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !well_formed {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use protocol::keys::KeyId;

    use super::*;

    fn ring(seed: u8) -> KeyRing<MacKey> {
        KeyRing::new(MacKey::new(KeyId::from_bytes([seed; 4]), &[seed; 32]), Vec::new())
    }

    fn id(byte: u8) -> Id<Authorization> {
        Id::from_bytes([byte; 16])
    }

    #[test]
    fn a_login_form_is_good_for_its_sign_in_in_its_browser_only() {
        let (keys, here, elsewhere) = (ring(1), Hash::of(b"here"), Hash::of(b"elsewhere"));
        for shown in [ShownTo::Nobody, ShownTo::Somebody] {
            let token = login_token(&keys, id(1), &here, shown);
            let read = |keys: &KeyRing<MacKey>, text: &str, id, binding: &Hash| {
                read_login_form(keys, text, id, binding)
            };
            assert_eq!(read(&keys, token.as_str(), id(1), &here), Some(shown));
            assert_eq!(read(&keys, token.as_str(), id(2), &here), None);
            assert_eq!(read(&keys, token.as_str(), id(1), &elsewhere), None);
            assert_eq!(read(&ring(2), token.as_str(), id(1), &here), None);
            let other = if shown == ShownTo::Nobody { "s" } else { "n" };
            let pretended = format!("{other}{}", &token.as_str()[1..]);
            for wrong in ["", ".", "n.", "x.y", &pretended] {
                assert_eq!(read(&keys, wrong, id(1), &here), None, "{wrong}");
            }
        }
    }

    #[test]
    fn a_form_made_before_the_key_rotated_is_still_good() {
        let old = ring(1);
        let token = login_token(&old, id(1), &Hash::of(b"here"), ShownTo::Nobody);
        let key = |seed: u8| MacKey::new(KeyId::from_bytes([seed; 4]), &[seed; 32]);
        let rotated = KeyRing::new(key(2), vec![key(1)]);
        assert!(read_login_form(&rotated, token.as_str(), id(1), &Hash::of(b"here")).is_some());
    }

    #[test]
    fn a_consent_form_tells_a_changed_page_from_a_foreign_form() {
        let (keys, shown) = (ring(1), Hash::of(b"shown"));
        let (here, elsewhere) = (Hash::of(b"here"), Hash::of(b"elsewhere"));
        let (alice, bob) = (Id::from_bytes([7; 16]), Id::from_bytes([8; 16]));
        let token = consent_token(&keys, id(1), &holder(&here, alice), &shown);
        let judge = |id, browser: &Hash, user, shown: &Hash| {
            judge_consent_form(&keys, token.as_str(), id, &holder(browser, user), shown)
        };
        assert_eq!(judge(id(1), &here, alice, &shown), Judgement::Current);
        assert_eq!(judge(id(1), &here, alice, &Hash::of(b"changed")), Judgement::Stale);
        assert_eq!(judge(id(2), &here, alice, &shown), Judgement::Foreign);
        assert_eq!(judge(id(1), &elsewhere, alice, &shown), Judgement::Foreign);
        assert_eq!(judge(id(1), &here, bob, &shown), Judgement::Foreign);
    }

    #[test]
    fn a_consent_form_with_a_bit_changed_is_foreign() {
        let (keys, session, shown) = (ring(1), Hash::of(b"session"), Hash::of(b"shown"));
        let token = consent_token(&keys, id(1), &session, &shown).to_string();
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(judge_consent_form(&keys, &changed, id(1), &session, &shown), Judgement::Foreign);
        }
        for garbage in ["", ".", "é.é", "0.0"] {
            assert_eq!(judge_consent_form(&keys, garbage, id(1), &session, &shown), Judgement::Foreign);
        }
    }

    #[test]
    fn a_login_form_is_no_consent_form() {
        let (keys, hash) = (ring(1), Hash::of(b"one"));
        let login = login_token(&keys, id(1), &hash, ShownTo::Nobody);
        let disguised = format!("{}.{}", hex(hash.as_bytes()), &login.as_str()[2..]);
        assert_eq!(judge_consent_form(&keys, &disguised, id(1), &hash, &hash), Judgement::Foreign);
    }
}

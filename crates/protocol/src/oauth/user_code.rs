//! The user code of a device authorization: RFC 8628, section 6.1.
//!
//! Eight consonants, which spell no words: 20 to the 8th are 34.5 bits, few enough to type, and far more than the guesses
//! that anybody gets in the minutes of its life (section 5.1). Reading is kind, printing has one form.

use std::fmt;

use thiserror::Error;

use crate::world::Entropy;

/// The letters of the standard's own example: no vowels, and none that is taken for another.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many there are in a code.
const LENGTH: usize = 8;

/// A user code, such as `WDJB-MJHT`.
#[derive(Clone, PartialEq, Eq)]
pub struct UserCode(String);

/// The text is not a user code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a user code: expected eight letters such as WDJB-MJHT")]
pub struct UserCodeError;

impl UserCode {
    /// A new one.
    #[must_use]
    pub fn mint(entropy: &dyn Entropy) -> Self {
        let mut letters = Vec::with_capacity(LENGTH);
        while letters.len() < LENGTH {
            let mut chance = [0; 2 * LENGTH];
            entropy.fill(&mut chance);
            // 240 is a multiple of 20: what lies above would favour some letters.
            let even =
                chance.iter().filter(|byte| **byte < 240).map(|byte| usize::from(*byte) % LETTERS.len());
            letters.extend(even.filter_map(|place| LETTERS.get(place).copied()));
        }
        letters.truncate(LENGTH);
        Self(letters.into_iter().map(char::from).collect())
    }

    /// Reads what a person typed: in any case, with or without a hyphen or spaces ("ignoring any punctuation",
    /// section 6.1).
    ///
    /// # Errors
    /// [`UserCodeError`] if it is not eight of the letters.
    pub fn parse(text: &str) -> Result<Self, UserCodeError> {
        if text.len() > 4 * LENGTH {
            return Err(UserCodeError);
        }
        let typed = text.chars().filter(|c| !matches!(c, '-' | ' ' | '\u{2010}'..='\u{2015}' | '\u{3000}'));
        let letters: String = typed.map(|c| c.to_ascii_uppercase()).collect();
        let well_formed = letters.len() == LENGTH && letters.bytes().all(|letter| LETTERS.contains(&letter));
        if well_formed { Ok(Self(letters)) } else { Err(UserCodeError) }
    }

    /// The letters alone, for comparing.
    #[must_use]
    pub fn letters(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.0.split_at_checked(LENGTH / 2).unwrap_or((&self.0, ""));
        write!(f, "{first}-{second}")
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // For as long as it lives it is half of a permission.
        f.write_str("UserCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::Counting;

    #[test]
    fn a_code_is_read_as_people_write_it() {
        let code = UserCode::parse("WDJB-MJHT").unwrap();
        assert_eq!(code.to_string(), "WDJB-MJHT");
        for text in ["wdjbmjht", " WDJB MJHT ", "wdjb\u{2013}mjht", "W-D-J-B-M-J-H-T"] {
            assert_eq!(UserCode::parse(text), Ok(code.clone()), "{text}");
        }
        for text in
            ["", "WDJB-MJH", "WDJB-MJHTX", "WDJB-MJHA", "WDJB_MJHT", "WDJB-MJH\u{ff34}", &"-".repeat(99)]
        {
            assert_eq!(UserCode::parse(text), Err(UserCodeError), "{text}");
        }
        assert_eq!(format!("{code:?}"), "UserCode(..)");
    }

    #[test]
    fn codes_are_of_all_letters_alike_and_read_back() {
        let entropy = Counting::new();
        let mut counts = [0_u32; 20];
        for _ in 0..2000 {
            let code = UserCode::mint(&entropy);
            assert_eq!(UserCode::parse(&code.to_string()), Ok(code.clone()));
            for letter in code.letters().bytes() {
                counts[LETTERS.iter().position(|known| *known == letter).unwrap()] += 1;
            }
        }
        // 800 of each are expected.
        assert!(counts.iter().all(|count| (600..1000).contains(count)), "{counts:?}");
    }
}

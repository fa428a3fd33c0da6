//! Proof Key for Code Exchange: RFC 7636, with S256 as the only method.
//!
//! `plain` is never accepted and never assumed: a request that names no method means `plain`
//! (RFC 7636, section 4.3) and is refused for it.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use crate::secret::{Hash, Secret};
use crate::world::Entropy;

/// The method's name in requests and in `code_challenge_methods_supported`.
pub const S256: &str = "S256";

/// A code challenge: base64url of a SHA-256, 43 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CodeChallenge(String);

/// A code verifier: 43 to 128 unreserved characters. It is a secret until it is redeemed.
pub struct CodeVerifier(Secret);

/// Why a challenge or verifier is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PkceError {
    /// Not 43 characters of base64url.
    #[error("the code challenge is not 43 characters of base64url")]
    Challenge,
    /// The method is missing, which means `plain`, or is not `S256` letter for letter.
    #[error("the code challenge method is not S256")]
    Method,
    /// Not 43 to 128 unreserved characters.
    #[error("the code verifier is not 43 to 128 unreserved characters")]
    Verifier,
}

impl CodeChallenge {
    /// Reads `code_challenge` and `code_challenge_method` of an authorization request.
    ///
    /// # Errors
    /// [`PkceError`] if the method is not named `S256` or the challenge cannot be one of S256.
    pub fn parse(challenge: &str, method: Option<&str>) -> Result<Self, PkceError> {
        if method != Some(S256) {
            return Err(PkceError::Method);
        }
        Self::read(challenge)
    }

    fn read(challenge: &str) -> Result<Self, PkceError> {
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if challenge.len() == 43 && challenge.bytes().all(base64url) {
            Ok(Self(challenge.to_owned()))
        } else {
            Err(PkceError::Challenge)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the verifier answers this challenge (RFC 7636, section 4.6), in constant time.
    #[must_use]
    pub fn is_answered_by(&self, verifier: &CodeVerifier) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), verifier.challenge().0.as_bytes()).is_ok()
    }
}

impl CodeVerifier {
    /// Reads `code_verifier` of a token request.
    ///
    /// # Errors
    /// [`PkceError::Verifier`] for any other length or alphabet than RFC 7636, section 4.1, gives.
    pub fn parse(text: &str) -> Result<Self, PkceError> {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if (43..=128).contains(&text.len()) && text.bytes().all(unreserved) {
            Ok(Self(Secret::new(text.to_owned())))
        } else {
            Err(PkceError::Verifier)
        }
    }

    /// A new verifier: 256 bits of chance.
    #[must_use]
    pub fn mint(entropy: &dyn Entropy) -> Self {
        Self(Secret::random("", entropy))
    }

    /// The challenge that this verifier answers.
    #[must_use]
    pub fn challenge(&self) -> CodeChallenge {
        let hash = self.0.expose(|text| Hash::of(text.as_bytes()));
        CodeChallenge(URL_SAFE_NO_PAD.encode(hash.as_bytes()))
    }

    /// Lends the text to one call.
    pub fn expose<R>(&self, use_it: impl FnOnce(&str) -> R) -> R {
        self.0.expose(use_it)
    }
}

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeVerifier(..)")
    }
}

impl fmt::Display for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CodeChallenge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::Counting;

    /// RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    /// RFC 7636, appendix B.
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_standard_holds() {
        let verifier = CodeVerifier::parse(VERIFIER).unwrap();
        assert_eq!(verifier.challenge().as_str(), CHALLENGE);
        assert!(CodeChallenge::parse(CHALLENGE, Some("S256")).unwrap().is_answered_by(&verifier));
    }

    #[test]
    fn another_verifier_does_not_answer() {
        let challenge = CodeChallenge::parse(CHALLENGE, Some("S256")).unwrap();
        for wrong in
            ["a".repeat(43), VERIFIER.to_ascii_lowercase(), format!("{VERIFIER}A"), CHALLENGE.to_owned()]
        {
            assert!(!challenge.is_answered_by(&CodeVerifier::parse(&wrong).unwrap()));
        }
    }

    /// AZ-18.
    #[test]
    fn no_other_method_is_accepted_and_none_is_assumed() {
        for method in
            [None, Some(""), Some("plain"), Some("s256"), Some("S512"), Some("S256 "), Some("S256,plain")]
        {
            assert_eq!(CodeChallenge::parse(CHALLENGE, method), Err(PkceError::Method));
        }
    }

    /// AZ-19.
    #[test]
    fn a_challenge_is_43_characters_of_base64url() {
        for bad in
            ["".to_owned(), "a".repeat(42), "a".repeat(44), "a".repeat(129), format!("{}=", "a".repeat(42))]
        {
            assert_eq!(CodeChallenge::parse(&bad, Some("S256")), Err(PkceError::Challenge));
        }
        for foreign in ["+", "/", "=", " ", ".", "~", "\u{e9}"] {
            let text = format!("{}{foreign}", "a".repeat(43 - foreign.len()));
            assert_eq!(CodeChallenge::parse(&text, Some("S256")), Err(PkceError::Challenge));
        }
    }

    #[test]
    fn a_verifier_is_43_to_128_unreserved_characters() {
        assert!(CodeVerifier::parse(&"-._~".repeat(32)).is_ok());
        for bad in
            ["a".repeat(42), "a".repeat(129), format!("{}+", "a".repeat(42)), format!("{}\0", "a".repeat(42))]
        {
            assert_eq!(CodeVerifier::parse(&bad).unwrap_err(), PkceError::Verifier);
        }
    }

    #[test]
    fn a_minted_verifier_can_be_sent_and_answers_its_challenge() {
        let verifier = CodeVerifier::mint(&Counting::new());
        let sent = verifier.expose(CodeVerifier::parse).unwrap();
        assert!(verifier.challenge().is_answered_by(&sent));
        assert_eq!(format!("{verifier:?}"), "CodeVerifier(..)");
    }
}

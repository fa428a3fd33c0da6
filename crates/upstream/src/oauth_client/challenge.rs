//! What an MCP server says when it refuses a call: `WWW-Authenticate` with `Bearer` (RFC 6750, section 3; RFC 9728, section 5.1),
//! read as RFC 9110, section 11.6.1, writes it.
//!
//! It is a stranger's text: what cannot be read is as if it were not there.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use protocol::oauth::{Scope, ScopeToken};

/// No honest challenge is longer.
const LONGEST: usize = 8 * 1024;

/// The first `Bearer` challenge of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// `error`, of the alphabet that RFC 6750, section 3, gives it.
    pub error: Option<String>,
    /// `resource_metadata` (RFC 9728, section 5.1).
    pub resource_metadata: Option<String>,
    /// `scope`: what the call needs (CL-036).
    pub scope: Option<Scope>,
}

impl Challenge {
    /// Reads the answer's head.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        fields.find_map(|field| Self::parse(field.get(..LONGEST.min(field.len()))?))
    }

    /// Whether a call needs more scope than its token has (RFC 6750, section 3.1).
    #[must_use]
    pub fn wants_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }

    fn parse(field: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut rest = field.trim_start();
        while !rest.is_empty() {
            let (name, after) = token(rest)?;
            let after = after.trim_start();
            match (after.strip_prefix('='), &mut found) {
                // A parameter, of the challenge at hand or of one that is not ours.
                (Some(value), challenge) => {
                    let (value, left) = value_of(value.trim_start())?;
                    if let Some(challenge) = challenge {
                        challenge.take(name, value);
                    }
                    rest = left;
                }
                // The next scheme: ours is over.
                (None, Some(_)) => break,
                (None, none) => {
                    if name.eq_ignore_ascii_case("bearer") {
                        *none = Some(Self::default());
                    }
                    rest = after;
                }
            }
            rest = rest.trim_start_matches([',', ' ', '\t']);
        }
        found
    }

    /// The first of each name counts.
    fn take(&mut self, name: &str, value: String) {
        let code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        match name.to_ascii_lowercase().as_str() {
            "error" if self.error.is_none() && value.len() <= 64 && value.bytes().all(code) => {
                self.error = Some(value);
            }
            "resource_metadata" if self.resource_metadata.is_none() => self.resource_metadata = Some(value),
            "scope" if self.scope.is_none() => {
                let tokens = value.split(' ').filter(|token| !token.is_empty()).take(100);
                self.scope = tokens.map(|token| ScopeToken::parse(token).ok()).collect();
            }
            _ => {}
        }
    }
}

/// `token` of RFC 9110, section 5.6.2; a `token68` that stands for itself is read as one.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|letter: char| !(letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(letter)))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token, or a quoted string without its quotes.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> Option<Challenge> {
        let fields = fields.iter().filter_map(|field| Some((WWW_AUTHENTICATE, field.parse().ok()?)));
        Challenge::read(&fields.collect())
    }

    /// CL-003.
    #[test]
    fn a_challenge_is_found_among_others_and_read_as_http_writes_it() {
        let good = Challenge {
            error: Some("insufficient_scope".to_owned()),
            resource_metadata: Some("https://mcp.example/m,\"x".to_owned()),
            scope: Scope::parse("a b").ok(),
        };
        for field in [
            r#"Bearer error="insufficient_scope", resource_metadata="https://mcp.example/m,\"x", scope="b a""#,
            r#"bearer error=insufficient_scope,scope="a b" , resource_metadata = "https://mcp.example/m,\"x""#,
            r#"Basic realm="x", Bearer error="insufficient_scope", error="other", resource_metadata="https://mcp.example/m,\"x", scope="a  b", DPoP algs="ES256", scope="c""#,
        ] {
            assert_eq!(read(&[field]).as_ref(), Some(&good), "{field}");
            assert_eq!(read(&["Negotiate abc==", field]).as_ref(), Some(&good), "{field}");
        }
        assert!(good.wants_scope());
        assert_eq!(read(&["Bearer"]), Some(Challenge::default()));
        for field in ["", "Basic realm=\"Bearer\"", "=", "\"", "Negotiate a/b=="] {
            assert_eq!(read(&[field]), None, "{field}");
        }
        let odd = read(&["Bearer scope=\"a\\\"b\", error=\"<script>\""]);
        assert_eq!(odd, Some(Challenge::default()), "no scope holds a quote, and no error a bracket");
    }
}

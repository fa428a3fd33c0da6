//! Who is meant (RFC 9493, section 3). A format that we cannot follow is told from one that is malformed: nobody is guessed.

use serde::Deserialize;
use serde_json::Value;

/// No honest identifier is longer.
const LONGEST: usize = 512;

/// A subject identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectIdentifier {
    /// Several identifiers of one subject (OpenID Shared Signals Framework 1.0, section 3.3): the person, and a session.
    Complex {
        /// The person.
        user: Option<Box<SubjectIdentifier>>,
        /// The session, by its opaque name.
        session: Option<String>,
    },
    /// An e-mail address (section 3.2.2).
    Email(String),
    /// Issuer and subject (section 3.2.3).
    IssSub {
        /// Who names the person so.
        iss: String,
        /// The person.
        sub: String,
    },
    /// Whatever both sides agreed on (section 3.2.4).
    Opaque(String),
    /// Another format.
    Other,
}

#[derive(Deserialize)]
struct Email {
    email: String,
}

#[derive(Deserialize)]
struct IssSub {
    iss: String,
    sub: String,
}

#[derive(Deserialize)]
struct Opaque {
    id: String,
}

impl SubjectIdentifier {
    /// Reads one; `None` if it is malformed.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        match object.get("format") {
            None => Self::complex(value),
            Some(Value::String(format)) => match format.as_str() {
                "complex" => Self::complex(value),
                "email" => Some(Self::Email(bounded(Email::deserialize(value).ok()?.email)?)),
                "iss_sub" => {
                    let IssSub { iss, sub } = IssSub::deserialize(value).ok()?;
                    Some(Self::IssSub { iss: bounded(iss)?, sub: bounded(sub)? })
                }
                "opaque" => Some(Self::Opaque(bounded(Opaque::deserialize(value).ok()?.id)?)),
                _ => Some(Self::Other),
            },
            Some(_) => None,
        }
    }

    fn complex(value: &Value) -> Option<Self> {
        let simple = |name: &str| match value.get(name) {
            None => Some(None),
            // Not complex within complex.
            Some(one) if one.get("format").is_some_and(|format| format != "complex") => {
                Self::read(one).map(Some)
            }
            Some(_) => None,
        };
        let (user, session) = (simple("user")?, simple("session")?);
        let session = match session {
            Some(Self::Opaque(id)) => Some(id),
            Some(_) | None => None,
        };
        match (user, session) {
            (None, None) => Some(Self::Other),
            (user, session) => Some(Self::Complex { user: user.map(Box::new), session }),
        }
    }
}

fn bounded(text: String) -> Option<String> {
    let good = !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control);
    good.then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_formats_are_read_and_others_are_told_from_malformed_ones() {
        let email = SubjectIdentifier::Email("a@example.com".to_owned());
        let iss_sub = SubjectIdentifier::IssSub { iss: "https://i.example".to_owned(), sub: "1".to_owned() };
        let user = Some(Box::new(iss_sub.clone()));
        for (value, expected) in [
            (json!({"format": "email", "email": "a@example.com"}), Some(email)),
            (json!({"format": "iss_sub", "iss": "https://i.example", "sub": "1"}), Some(iss_sub)),
            (json!({"format": "opaque", "id": "x"}), Some(SubjectIdentifier::Opaque("x".to_owned()))),
            (json!({"format": "phone_number", "phone_number": "+1"}), Some(SubjectIdentifier::Other)),
            (
                json!({"format": "complex", "user": {"format": "iss_sub", "iss": "https://i.example", "sub": "1"},
                    "session": {"format": "opaque", "id": "s"}, "device": {"format": "opaque", "id": "d"}}),
                Some(SubjectIdentifier::Complex { user: user.clone(), session: Some("s".to_owned()) }),
            ),
            (
                json!({"user": {"format": "iss_sub", "iss": "https://i.example", "sub": "1"}}),
                Some(SubjectIdentifier::Complex { user, session: None }),
            ),
            (json!({"device": {"format": "opaque", "id": "d"}}), Some(SubjectIdentifier::Other)),
            (json!({"format": "email"}), None),
            (json!({"format": "email", "email": ""}), None),
            (json!({"format": "email", "email": 7}), None),
            (json!({"format": "iss_sub", "iss": "https://i.example"}), None),
            (json!({"format": "opaque", "id": "x".repeat(513)}), None),
            (json!({"format": "opaque", "id": "a\nb"}), None),
            (json!({"format": ["email"]}), None),
            (json!({"user": {"user": {"format": "opaque", "id": "x"}}}), None),
            (json!("a@example.com"), None),
            (json!(null), None),
        ] {
            assert_eq!(SubjectIdentifier::read(&value), expected, "{value}");
        }
    }
}

//! The JWT of a workload as an authorization grant (RFC 7523, section 2.1; SEP-1933, workload identity federation): what a
//! platform says of a program that runs on it.
//!
//! Nothing of it may be believed until the signature was judged. An ID-JAG is told by its `typ` and never comes here (RFC 8725, section 3.11): rules about workloads
//! bind no client.

use serde::Deserialize;
use serde_json::Value;

use super::identity_assertion::IdentityAssertionGrantClaims;
use crate::jose::claims::{Audience, OtherClaims, present, present_seconds, seconds};
use crate::jose::{claimed_type, is_type};

/// Its claims, strictly typed where they are judged here, and each once.
#[derive(Debug, Clone, Deserialize)]
pub struct WorkloadClaims {
    /// The platform.
    pub iss: String,
    /// The workload, as its platform names it.
    pub sub: String,
    /// Whom it is for.
    pub aud: Audience,
    /// When it was made, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// Before this it does not count.
    #[serde(default, deserialize_with = "present_seconds")]
    pub nbf: Option<i64>,
    /// Its own id.
    #[serde(default, deserialize_with = "present")]
    pub jti: Option<String>,
    /// A key that must be proven (RFC 7800, section 3.1).
    #[serde(default, deserialize_with = "present")]
    pub cnf: Option<Value>,
    /// What else the platform says, by which workloads are told apart.
    #[serde(flatten)]
    pub other: OtherClaims,
}

impl WorkloadClaims {
    /// Types that such a JWT may say, beside `JWT` or none at all: JWT-SVIDs may say this (JWT-SVID, section 2.3).
    pub const OTHER_TYPE: &[&str] = &["JOSE"];

    /// Whether an assertion may be of a workload and is no ID-JAG, going by its `typ` alone.
    #[must_use]
    pub fn may_be_in(assertion: &str) -> bool {
        claimed_type(assertion).is_none_or(|typ| !is_type(&typ, IdentityAssertionGrantClaims::EXPECTED_TYPE))
    }

    /// A claim that is a text: one of the top by its name, or one further in by a JSON Pointer (RFC 6901), which begins with
    /// `/`. What is no text is none.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let Some(pointer) = name.strip_prefix('/') else {
            return if name == "sub" { Some(&self.sub) } else { self.other.find(name)?.as_str() };
        };
        let (first, rest) =
            pointer.split_once('/').map_or((pointer, None), |(first, rest)| (first, Some(rest)));
        let top = self.other.find(&first.replace("~1", "/").replace("~0", "~"))?;
        match rest {
            None => top.as_str(),
            Some(rest) => top.pointer(&format!("/{rest}"))?.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn token(header: &str) -> String {
        format!("{}.e30.x", URL_SAFE_NO_PAD.encode(header))
    }

    /// AS-212.
    #[test]
    fn an_id_jag_is_never_one_however_its_type_is_spelled() {
        for typ in ["oauth-id-jag+jwt", "OAuth-ID-JAG+JWT", "application/oauth-id-jag+jwt"] {
            assert!(!WorkloadClaims::may_be_in(&token(&json!({"alg": "ES256", "typ": typ}).to_string())));
            // Also where the header could not be verified: it is refused as what it says it is.
            let critical = json!({"alg": "none", "crit": ["x"], "typ": typ}).to_string();
            assert!(!WorkloadClaims::may_be_in(&token(&critical)));
        }
        for header in ["{}", r#"{"typ":"JWT"}"#, r#"{"typ":7}"#, "[]", "", r#"{"typ":"a","typ":"b"}"#] {
            assert!(WorkloadClaims::may_be_in(&token(header)), "{header}");
        }
        assert!(WorkloadClaims::may_be_in("") && WorkloadClaims::may_be_in(&"x".repeat(1 << 20)));
    }

    #[test]
    fn a_claim_is_found_by_name_or_pointer_and_only_if_it_is_a_text() {
        let claims: WorkloadClaims = serde_json::from_value(json!({
            "iss": "i", "sub": "s", "aud": "a", "iat": 1, "exp": 2, "ref": "main", "number": 7,
            "kubernetes.io": {"namespace": "prod", "pod": {"name": "p"}}, "a/b": "slash",
        }))
        .unwrap();
        for (name, found) in [
            ("sub", Some("s")),
            ("ref", Some("main")),
            ("/ref", Some("main")),
            ("/kubernetes.io/namespace", Some("prod")),
            ("/kubernetes.io/pod/name", Some("p")),
            ("/a~1b", Some("slash")),
            ("number", None),
            ("kubernetes.io", None),
            ("/kubernetes.io", None),
            ("/kubernetes.io/nothing", None),
            ("/", None),
            ("missing", None),
        ] {
            assert_eq!(claims.text(name), found, "{name}");
        }
    }

    #[test]
    fn a_claim_that_stands_twice_or_is_mistyped_is_an_error() {
        let read = |text: &str| serde_json::from_str::<WorkloadClaims>(text).is_ok();
        assert!(read(r#"{"iss":"i","sub":"s","aud":"a","iat":1,"exp":2}"#));
        for more in [
            r#","ref":"a","ref":"b""#,
            r#","sub":"t""#,
            r#","jti":7"#,
            r#","nbf":null"#,
            r#","cnf":null,"cnf":{}"#,
        ] {
            assert!(!read(&format!(r#"{{"iss":"i","sub":"s","aud":"a","iat":1,"exp":2{more}}}"#)), "{more}");
        }
    }
}

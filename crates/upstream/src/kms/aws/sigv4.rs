//! AWS Signature Version 4 for one POST to `/` (AWS IAM User Guide, "Create a signed AWS API request").
//!
//! Checked against the examples that AWS publishes. Knows nothing of queries, chunks or paths: no request of ours has any.

use std::fmt::Write as _;

use protocol::keys::hmac_sha256;
use protocol::secret::Hash;
use protocol::world::Timestamp;
use zeroize::Zeroizing;

use super::Credentials;

/// What is signed besides the body: names in lower case and in order, values as they are sent.
pub(super) struct Signing<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// In the order of their names.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    pub(super) at: Timestamp,
}

/// `X-Amz-Date`.
pub(super) fn date(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

impl Signing<'_> {
    /// The value of `Authorization`.
    pub(super) fn authorization(&self, credentials: &Credentials) -> String {
        let stamp = date(self.at);
        let day = stamp.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut canonical = String::from("POST\n/\n\n");
        for (name, value) in self.headers {
            // Writing to a String cannot fail.
            let _ = writeln!(canonical, "{name}:{}", value.trim());
        }
        let _ = write!(canonical, "\n{names}\n{}", hex(Hash::of(self.body).as_bytes()));
        let hashed = hex(Hash::of(canonical.as_bytes()).as_bytes());
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}");
        let signature = hex(&hmac_sha256(&*self.key(credentials, day), to_sign.as_bytes()));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            credentials.access_key_id
        )
    }

    fn key(&self, credentials: &Credentials, day: &str) -> Zeroizing<[u8; 32]> {
        let first = Zeroizing::new(format!("AWS4{}", credentials.secret_access_key.as_str()));
        let mut key = Zeroizing::new(hmac_sha256(first.as_bytes(), day.as_bytes()));
        for part in [self.region, self.service, "aws4_request"] {
            key = Zeroizing::new(hmac_sha256(&*key, part.as_bytes()));
        }
        key
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `post-vanilla` and `post-header-key-sort` of the AWS Signature Version 4 test suite.
    #[test]
    fn the_published_examples_come_out() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: None,
        };
        // 2015-08-30T12:36:00Z
        let at = Timestamp::from_secs(1_440_938_160);
        let sign = |headers: &[(&str, &str)]| {
            let signing = Signing { region: "us-east-1", service: "service", headers, body: b"", at };
            signing.authorization(&credentials)
        };
        let date = ("x-amz-date", "20150830T123600Z");
        let vanilla = sign(&[("host", "example.amazonaws.com"), date]);
        assert!(
            vanilla.ends_with(
                "SignedHeaders=host;x-amz-date, \
                 Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
            ),
            "{vanilla}"
        );
        let sorted = sign(&[("host", "example.amazonaws.com"), ("my-header1", "value1"), date]);
        assert!(
            sorted.ends_with("Signature=c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
            "{sorted}"
        );
    }
}

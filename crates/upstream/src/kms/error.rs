//! Why a key service did not do what it was asked.

use http::StatusCode;
use serde::Deserialize;
use thiserror::Error;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyServiceError {
    /// Asked too often, or out of order for the moment.
    #[error("the key service cannot answer now (status {status}{})", named(.code))]
    Busy {
        /// The status.
        status: u16,
        /// Its own word for it.
        code: Option<String>,
    },
    /// It said no, and our clock is not its clock: what we signed may be too old or too young for it.
    #[error(
        "the key service refuses (status {status}{}), and this machine's clock is {off_s} s off its own",
        named(.code)
    )]
    ClockOff {
        /// By how much ours is ahead.
        off_s: i64,
        /// The status.
        status: u16,
        /// Its own word for it.
        code: Option<String>,
    },
    /// No credentials were found where they may be.
    #[error("no credentials for the key service were found, or they are not what they must be")]
    Credentials,
    /// A file with credentials cannot be read.
    #[error("a file with credentials for the key service cannot be read")]
    CredentialsFile,
    /// Credentials or keys would travel unencrypted.
    #[error("credentials of the key service would travel in the clear: only https, or http to this machine")]
    InTheClear,
    /// It answered, but not with what it must.
    #[error("the key service answered with something else than a key")]
    Malformed,
    /// It said no.
    #[error("the key service refuses (status {status}{})", named(.code))]
    Refused {
        /// The status.
        status: u16,
        /// Its own word for it.
        code: Option<String>,
    },
    /// A setting is missing or wrong.
    #[error("{0}")]
    Settings(&'static str),
    /// It does not answer.
    #[error("the key service does not answer")]
    Unreachable,
}

fn named(code: &Option<String>) -> String {
    code.as_ref().map(|code| format!(", {code}")).unwrap_or_default()
}

impl KeyServiceError {
    /// Whether it may be otherwise in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Unreachable => true,
            Self::ClockOff { .. }
            | Self::Credentials
            | Self::CredentialsFile
            | Self::InTheClear
            | Self::Malformed
            | Self::Refused { .. }
            | Self::Settings(_) => false,
        }
    }

    pub(super) fn of_status(status: StatusCode, code: Option<String>) -> Self {
        // AWS throttles with status 400 and says so in the code; so does STS when it cannot reach who made the pod's token.
        let throttled = code
            .as_deref()
            .is_some_and(|code| code.contains("Throttling") || code == "IDPCommunicationError");
        let busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || throttled;
        let status = status.as_u16();
        if busy { Self::Busy { status, code } } else { Self::Refused { status, code } }
    }
}

/// The service's own word for an error, if it has the form of one: never its sentence, which may say anything.
pub(super) fn code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Google {
        status: String,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Answer {
        Aws {
            #[serde(rename = "__type")]
            kind: String,
        },
        Google {
            error: Google,
        },
        OAuth {
            error: String,
        },
    }
    // STS answers in XML.
    if let Some((_, rest)) = std::str::from_utf8(body).ok()?.split_once("<Code>") {
        return word_of(rest.split_once("</Code>")?.0);
    }
    let word = match serde_json::from_slice(body).ok()? {
        // `com.amazonaws.kms#NotFoundException` or the bare name.
        Answer::Aws { kind } => kind.rsplit('#').next().unwrap_or_default().to_owned(),
        Answer::Google { error } => error.status,
        Answer::OAuth { error } => error,
    };
    word_of(&word)
}

/// A text, if it has the form of a word for an error.
pub(super) fn word_of(word: &str) -> Option<String> {
    let fine = word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (fine && !word.is_empty()).then(|| word.to_owned())
}

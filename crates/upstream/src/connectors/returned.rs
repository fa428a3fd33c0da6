//! What the browser brought back (OpenID Connect Core 1.0, section 3.1.2.5; RFC 9207), before anything is sent.

use protocol::oauth::form::Form;

use super::{ConnectorError, Malformation, Refusal, single};

/// The parameters of the callback, each at most once.
pub(crate) struct Returned<'a> {
    answer: Answer<'a>,
    iss: Option<&'a str>,
}

enum Answer<'a> {
    Code(&'a str),
    Error(&'a str),
}

impl<'a> Returned<'a> {
    /// Reads the callback's form alone, so that a broken one costs the provider nothing.
    pub(crate) fn read(form: &'a Form) -> Result<Self, Malformation> {
        let code = single(form, "code")?;
        let error = single(form, "error")?;
        let iss = single(form, "iss")?;
        if single(form, "state")?.is_none() {
            return Err(Malformation::CallbackIncomplete);
        }
        let answer = match (code, error) {
            (Some(code), None) => Answer::Code(code),
            (None, Some(error)) => Answer::Error(error),
            (Some(_), Some(_)) => return Err(Malformation::CallbackContradictory),
            (None, None) => return Err(Malformation::CallbackIncomplete),
        };
        Ok(Self { answer, iss })
    }

    /// The code, if it is this provider's answer and the answer is yes.
    ///
    /// RFC 9207, section 2.4: `iss` is compared before anything else is believed, errors included, and an answer
    /// without it is refused if the provider says that it sends it.
    pub(crate) fn code(
        &self,
        is_issuer: impl Fn(&str) -> bool,
        sends_iss: bool,
    ) -> Result<&'a str, ConnectorError> {
        match self.iss {
            Some(iss) if !is_issuer(iss) => return Err(Malformation::IssuerMismatch.into()),
            None if sends_iss => return Err(Malformation::IssuerMissing.into()),
            Some(_) | None => {}
        }
        match self.answer {
            Answer::Code(code) => Ok(code),
            Answer::Error("access_denied") => Err(Refusal::AccessDenied.into()),
            Answer::Error("server_error" | "temporarily_unavailable") => Err(ConnectorError::Unreachable),
            Answer::Error(error) => {
                // RFC 6749, section 4.1.2.1 allows few characters; anything else is not written anywhere.
                let known =
                    error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                tracing::debug!(error = if known { error } else { "?" }, "the provider sent an error");
                Err(Refusal::ProviderError.into())
            }
        }
    }
}

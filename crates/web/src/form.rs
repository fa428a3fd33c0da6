//! Reads a form from a request: the media type first, then the bytes, then the parameters (requirements AS-142;
//! attacks TK-20, TK-22, TK-23).
//!
//! What it refuses is refused in the shape of the endpoint, which is the endpoint's business.

use std::sync::Arc;

use axum::extract::Request;
use bytes::Bytes;
use http::header::{self, HeaderMap};
use protocol::oauth::{Form, FormError};

use crate::front::{BODY_TIMEOUT, Visit};
use crate::layers::body::{self, BodyError};

const FORM: &str = "application/x-www-form-urlencoded";
/// The media type of a registration (RFC 7591, section 3.1).
pub(crate) const JSON: &str = "application/json";

/// Why there is no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormRefusal {
    Body(BodyError),
    MediaType,
    Parameters(FormError),
}

impl FormRefusal {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Body(error) => error.reason(),
            Self::MediaType => "media_type_unsupported",
            Self::Parameters(FormError::Control) => "form_control_character",
            Self::Parameters(FormError::Escape) => "form_escape_malformed",
            Self::Parameters(FormError::NotText) => "form_not_text",
            Self::Parameters(FormError::TooMany) => "form_too_many_parameters",
        }
    }
}

/// The form in the body of a request.
pub(crate) async fn read(request: Request) -> Result<Form, FormRefusal> {
    Form::parse(&read_bytes(request).await?).map_err(FormRefusal::Parameters)
}

/// The same before its parameters are read.
pub(crate) async fn read_bytes(request: Request) -> Result<Bytes, FormRefusal> {
    if !is_media_type(request.headers(), FORM) {
        return Err(FormRefusal::MediaType);
    }
    let visit = request.extensions().get::<Arc<Visit>>();
    let patience = visit.map_or(BODY_TIMEOUT, |visit| visit.front.settings.body_timeout);
    body::read(request.into_body(), patience).await.map_err(FormRefusal::Body)
}

/// The form in the query of a request; no query is an empty form.
pub(crate) fn query(request: &Request) -> Result<Form, FormRefusal> {
    Form::parse(request.uri().query().unwrap_or_default().as_bytes()).map_err(FormRefusal::Parameters)
}

/// Whether the one `Content-Type` is this media type, with no parameter but `charset=utf-8`.
pub(crate) fn is_media_type(headers: &HeaderMap, wanted: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(wanted) && parts.all(is_utf8)
}

fn is_utf8(parameter: &str) -> bool {
    let Some((name, value)) = parameter.trim().split_once('=') else { return parameter.trim().is_empty() };
    name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_form(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, value.parse().unwrap());
        }
        is_media_type(&headers, FORM)
    }

    #[test]
    fn a_form_is_declared_as_one() {
        for value in [
            FORM,
            "Application/X-WWW-Form-Urlencoded",
            &format!("{FORM}; charset=UTF-8"),
            &format!("{FORM};charset=\"utf-8\""),
        ] {
            assert!(is_form(&[value]), "{value}");
        }
    }

    #[test]
    fn everything_else_is_not_a_form() {
        for value in [
            "",
            "application/json",
            "multipart/form-data; boundary=x",
            "application/json, application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded, application/json",
            "application/x-www-form-urlencoded; charset=utf-16",
            "application/x-www-form-urlencoded; charset=utf-8; x=y",
            "application/x-www-form-urlencodedx",
        ] {
            assert!(!is_form(&[value]), "{value}");
        }
        assert!(!is_form(&[]), "none");
        assert!(!is_form(&[FORM, FORM]), "two");
    }

    #[tokio::test]
    async fn a_form_over_the_cap_is_refused_and_one_at_the_cap_is_read() {
        let ask = |length: usize| {
            let body = format!("a={}", "b".repeat(length - 2));
            Request::builder().header(header::CONTENT_TYPE, FORM).body(body.into()).unwrap()
        };
        assert!(read(ask(body::CAP)).await.is_ok());
        assert_eq!(read(ask(body::CAP + 1)).await.unwrap_err(), FormRefusal::Body(BodyError::TooLarge));
    }
}

//! The signature base (RFC 9421, section 2.5): one line for each component that is covered, and one for the parameters.

use http::HeaderMap;
use http::header::HeaderName;
use sfv::{InnerList, ListSerializer};
use url::{Position, Url};

use super::{SignatureError, SignedRequest};

/// The names of what is covered, each once (section 2.5). Parameters of components are not known here.
pub(super) fn names(input: &InnerList) -> Result<Vec<&str>, SignatureError> {
    let mut names = Vec::with_capacity(input.items.len());
    for item in &input.items {
        let name = item.bare_item.as_string().ok_or(SignatureError::Malformed)?.as_str();
        if !item.params.is_empty() || names.contains(&name) {
            return Err(SignatureError::Component);
        }
        names.push(name);
    }
    Ok(names)
}

/// The inner list with its parameters, serialized anew (section 2.3).
pub(super) fn params(input: &InnerList) -> Option<String> {
    let mut list = ListSerializer::new();
    let mut inner = list.inner_list();
    inner.items(&input.items);
    let _ = inner.finish().parameters(&input.params);
    list.finish()
}

pub(super) fn build(
    request: &SignedRequest<'_>,
    target: &str,
    names: &[&str],
    params: &str,
) -> Result<String, SignatureError> {
    let mut base = String::new();
    for name in names {
        let value = value(request, target, name).ok_or(SignatureError::Component)?;
        base.push('"');
        base.push_str(name);
        base.push_str("\": ");
        base.push_str(&value);
        base.push('\n');
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(params);
    Ok(base)
}

/// The value of a component: derived (section 2.2), or a field (section 2.1).
fn value(request: &SignedRequest<'_>, target: &str, name: &str) -> Option<String> {
    let url = || Url::parse(target).ok();
    match name {
        "@method" => Some(request.method.to_owned()),
        "@target-uri" => Some(target.to_owned()),
        // Normalized: in lower case, without the port that the scheme has anyway.
        "@authority" => Some(url()?[Position::BeforeHost..Position::AfterPort].to_owned()),
        "@scheme" => Some(url()?.scheme().to_owned()),
        "@path" => Some(url()?.path().to_owned()),
        "@query" => Some(format!("?{}", url()?.query().unwrap_or_default())),
        // Whatever else begins so is not for a request, or not known here.
        _ if name.starts_with('@') => None,
        _ => field(request.headers, name),
    }
}

/// All lines of a field, joined (section 2.1).
pub(super) fn field(headers: &HeaderMap, name: &str) -> Option<String> {
    // "A component name … MUST be lowercased".
    let known = HeaderName::from_lowercase(name.as_bytes()).ok()?;
    let lines: Option<Vec<&str>> =
        headers.get_all(known).iter().map(|value| value.to_str().ok().map(str::trim)).collect();
    let lines = lines.filter(|lines| !lines.is_empty())?;
    Some(lines.join(", "))
}

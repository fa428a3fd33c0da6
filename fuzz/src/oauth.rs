//! The words of OAuth: each is read as the standards say, by a second reader too, or refused.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::id::Reference;
use protocol::oauth::{
    AuthorizationRequest, AuthorizationResponse, BearerChallenge, ClientAuthentication, ClientId,
    ClientMetadata, ErrorCode, Form, Parameter, RedirectUri, RevocationRequest, Scope,
    TokenEndpointAuthMethod, TokenRequest, dynamic_client,
};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use url::Url;
use url::form_urlencoded;

use crate::text::{changed, halves, text};
use crate::world::{MACS, POLICY, Same};

/// The first line is registered, the second asked for (attacks AZ-02 to AZ-10).
pub(crate) fn redirects(data: &[u8]) {
    let (registered, requested) = halves(data);
    let (Some(registered), Some(requested)) = (text(registered), text(requested)) else { return };
    let Ok(uri) = RedirectUri::parse(registered, &POLICY) else { return };
    assert_eq!(uri.as_str(), registered);
    let url = Url::parse(registered);
    assert!(url.is_ok(), "{registered}");
    let Ok(url) = url else { return };
    assert!(
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none(),
        "{registered}"
    );
    assert!(uri.matches(registered));
    if uri.matches(requested) && requested != registered {
        let other = Url::parse(requested);
        assert!(other.is_ok(), "{requested}");
        let Ok(mut other) = other else { return };
        // By another reader: the same but for the port, on the loopback interface, in plain http.
        assert!(other.scheme() == "http" && url.scheme() == "http", "{requested}");
        assert!(matches!(other.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")), "{requested}");
        assert!(other.set_port(url.port()).is_ok());
        assert_eq!(other, url, "{requested}");
        assert!(RedirectUri::parse(requested, &POLICY).is_ok(), "{requested}");
    }
    answered(registered, &url, requested);
}

/// What is sent to it: there, and with each parameter once.
fn answered(registered: &str, url: &Url, state: &str) {
    let body = serde_json::json!({ "redirect_uris": [registered], "token_endpoint_auth_method": "none" });
    let Ok(metadata) = ClientMetadata::parse_registration(body.to_string().as_bytes(), &POLICY) else {
        return;
    };
    let Some(verified) = metadata.verify_redirect_uri(registered) else { return };
    let (iss, code) = ("https://mcp.example.com".to_owned(), "SplxlOBeZQQYbYS6WxSbIA".to_owned());
    let Ok(reference) = Reference::parse("K7Q2-9XWD") else { return };
    for response in [
        AuthorizationResponse::Code {
            code: Secret::new(code),
            state: Some(state.to_owned()),
            iss: iss.clone(),
        },
        AuthorizationResponse::Error {
            code: ErrorCode::AccessDenied,
            state: Some(state.to_owned()),
            iss,
            reference,
        },
    ] {
        let text = verified.with_response(&response);
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        let sent = Url::parse(&text);
        assert!(sent.is_ok(), "{text}");
        let Ok(sent) = sent else { return };
        assert_eq!((sent.scheme(), sent.host_str(), sent.port()), (url.scheme(), url.host_str(), url.port()));
        assert_eq!(sent.path(), url.path());
        let count = |name: &str| sent.query_pairs().filter(|(held, _)| held == name).count();
        assert_eq!((count("code") + count("error"), count("state"), count("iss")), (1, 1, 1), "{text}");
        assert!(sent.query_pairs().any(|(name, value)| name == "state" && value == state), "{text}");
    }
}

/// A form, read beside the reader of the `url` crate (attacks TK-22, TK-23, AZ-13).
pub(crate) fn forms(data: &[u8]) {
    let Ok(form) = Form::parse(data) else { return };
    assert!(Form::parse_authorization_request(data).is_ok(), "what is refused there is refused here");
    let pairs: Vec<(String, String)> = form_urlencoded::parse(data).into_owned().collect();
    let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in &pairs {
        values.entry(name).or_default().push(value);
    }
    for (name, values) in &values {
        assert!(form.contains(name), "{name}");
        let expected = match values.as_slice() {
            [""] => Parameter::Absent,
            [only] => Parameter::Once(*only),
            _ => Parameter::Repeated,
        };
        assert_eq!(form.get(name), expected, "{name}");
        let some: Vec<&str> = values.iter().copied().filter(|value| !value.is_empty()).collect();
        assert_eq!(form.all(name), some, "{name}");
    }
    assert_eq!(form.repeats_any_but(&[]), values.values().any(|values| values.len() > 1));
    let printed = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
    let again: Vec<(String, String)> = form_urlencoded::parse(printed.as_bytes()).into_owned().collect();
    assert_eq!(again, pairs);
    assert!(Form::parse(printed.as_bytes()).is_ok(), "{printed}");
    let _ = AuthorizationRequest::parse(&form);
    let _ = TokenRequest::parse(&form);
    let _ = RevocationRequest::parse(&form);
    let _ = ClientAuthentication::parse(&[], &form);
    if let Ok(twice) = form.join(Form::parse(data).unwrap_or_else(|_| empty())) {
        assert!(values.keys().all(|name| twice.get(name).is_repeated()), "in query and body");
    }
}

#[expect(clippy::expect_used, reason = "a form without parameters is one, or the target has failed")]
fn empty() -> Form {
    Form::parse(b"").expect("nothing is a form")
}

/// `Authorization: Basic`: the first line as the credentials, then as the header; with the second as the secret, both
/// encoded (RFC 6749, section 2.3.1).
pub(crate) fn basic(data: &[u8]) {
    if let Some(header) = text(data) {
        read_basic(header, true);
        read_basic(&format!("Basic {header}"), true);
    }
    read_basic(&format!("bASIC {}", STANDARD.encode(data)), true);
    let (id, secret) = halves(data);
    let (Some(id), Some(secret)) = (text(id), text(secret)) else { return };
    if ClientId::parse(id).is_err() || secret.contains('\0') {
        return;
    }
    let header = written(id, secret);
    let presented = read_basic(&header, false);
    assert_eq!(presented.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str())), Some((id, secret)));
}

fn written(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

/// What it says, if anything; and what it says is what it would say written in the plainest way.
fn read_basic(header: &str, and_print: bool) -> Option<(String, String)> {
    let presented = ClientAuthentication::parse(&[header], &empty()).ok()?;
    assert_eq!(presented.method, TokenEndpointAuthMethod::ClientSecretBasic);
    let (id, secret) = (presented.client_id.as_str().to_owned(), presented.secret?.reveal());
    assert!(ClientAuthentication::parse(&[header, header], &empty()).is_err(), "two headers");
    if and_print {
        assert_eq!(read_basic(&written(&id, &secret), false), Some((id.clone(), secret.clone())));
        // By another reader: RFC 7617 and the form decoding.
        let credentials = header.split_once(' ').map(|(_, rest)| rest.trim_matches(' ')).unwrap_or_default();
        let bytes = STANDARD.decode(credentials).unwrap_or_default();
        let colon = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
        let decode = |bytes: &[u8]| {
            // A name without a value is read as one text, whatever stands in it.
            let escaped: Vec<u8> = bytes
                .iter()
                .flat_map(|byte| match byte {
                    b'&' => b"%26".to_vec(),
                    b'=' => b"%3D".to_vec(),
                    other => vec![*other],
                })
                .collect();
            form_urlencoded::parse(&escaped).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
        };
        let (theirs, rest) = bytes.split_at(colon);
        assert_eq!(
            (decode(theirs), decode(rest.get(1..).unwrap_or_default())),
            (id.clone(), secret.clone()),
            "{header}"
        );
    }
    Some((id, secret))
}

/// RFC 6749, section 3.3.
pub(crate) fn scopes(data: &[u8]) {
    let Some(said) = text(data) else { return };
    let token = |token: &str| {
        !token.is_empty() && token.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    let tokens: BTreeSet<&str> = said.split(' ').collect();
    let by_grammar = said.is_empty() || said.split(' ').all(token);
    let fits = said.len() <= 4096 && said.split(' ').count() <= 100;
    match Scope::parse(said) {
        Ok(scope) => {
            assert!(by_grammar && fits, "{said}");
            let held: BTreeSet<&str> = scope.iter().map(|token| token.as_str()).collect();
            assert!(held == tokens || (said.is_empty() && held.is_empty()), "{said}");
            let printed = scope.to_string();
            assert_eq!(Scope::parse(&printed).as_ref(), Ok(&scope), "{printed}");
            let half: Scope = scope.iter().take(scope.len() / 2).cloned().collect();
            assert!(
                half.is_subset(&scope) && scope.union(&half) == scope && scope.intersection(&half) == half
            );
            assert_eq!(scope.difference(&half).union(&half), scope);
        }
        Err(_) => assert!(!(by_grammar && fits), "{said}"),
    }
}

/// `WWW-Authenticate`, written by us and read by a strict reader (RFC 9110, section 11.6.1). The first line is the URL, the
/// rest the scope.
pub(crate) fn challenges(data: &[u8]) {
    let (url, scope) = halves(data);
    let scope = text(scope).and_then(|scope| Scope::parse(scope).ok());
    let error = data
        .first()
        .and_then(|byte| ErrorCode::ALL.get(usize::from(*byte) % (ErrorCode::ALL.len() + 1)))
        .copied();
    let url = String::from_utf8_lossy(url).into_owned();
    let challenge =
        BearerChallenge { resource_metadata: url.clone(), scope: scope.clone(), error, algs: None };
    let header = challenge.header_value();
    let read = header.to_str().ok().and_then(parameters);
    assert!(read.is_some(), "{header:?}");
    let read = read.unwrap_or_default();
    let safe = |c: &char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
    assert_eq!(read.get("resource_metadata"), Some(&url.chars().filter(safe).collect::<String>()));
    let named = scope.filter(|scope| !scope.is_empty()).map(|scope| scope.to_string());
    assert_eq!(read.get("scope"), named.as_ref());
    assert_eq!(read.get("error"), error.map(|error| error.as_str().to_owned()).as_ref());
    assert_eq!(read.len(), 1 + usize::from(named.is_some()) + 2 * usize::from(error.is_some()), "{header:?}");
}

/// One challenge of the scheme Bearer whose parameters are quoted strings without escapes, each once; else none.
fn parameters(header: &str) -> Option<BTreeMap<String, String>> {
    let mut rest = header.strip_prefix("Bearer ")?;
    let mut read = BTreeMap::new();
    loop {
        let (name, value) = rest.split_once("=\"")?;
        let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let (value, behind) = value.split_once('"')?;
        if !is_token || value.contains('\\') || read.insert(name.to_owned(), value.to_owned()).is_some() {
            return None;
        }
        match behind.strip_prefix(", ") {
            Some(more) => rest = more,
            None if behind.is_empty() => return Some(read),
            None => return None,
        }
    }
}

/// Registrations: what is kept is read back as the same (attacks RG-*).
pub(crate) fn registrations(data: &[u8]) {
    let Ok(metadata) = ClientMetadata::parse_registration(data, &POLICY) else { return };
    let json = metadata.to_json();
    assert_eq!(
        ClientMetadata::parse_registration(json.as_bytes(), &POLICY).as_ref(),
        Ok(&metadata),
        "{json}"
    );
    let Ok(id) = dynamic_client::mint(MACS.active(), Timestamp::from_secs(1_700_000_000), &Same, &metadata)
    else {
        return;
    };
    assert!(id.as_str().len() <= 1024 && id.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    let opened = dynamic_client::open(&MACS, &id, &POLICY);
    assert_eq!(opened.map(|opened| opened.metadata).as_ref(), Ok(&metadata));
    if let Ok(other) = String::from_utf8(changed(id.as_str().as_bytes(), data))
        && let Ok(other) = ClientId::parse(&other)
    {
        assert!(dynamic_client::open(&MACS, &other, &POLICY).is_err(), "changed: {other}");
        assert!(dynamic_client::client_secret(&MACS, &other).is_none(), "changed: {other}");
    }
}

/// Client identifiers that were made by nobody: RFC 6749, appendix A.1, without the space that no log and no URL needs.
pub(crate) fn client_ids(data: &[u8]) {
    let Some(said) = text(data) else { return };
    for written in [said.to_owned(), format!("dcr_{said}")] {
        let by_grammar =
            (1..=2048).contains(&written.len()) && written.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        assert_eq!(ClientId::parse(&written).is_ok(), by_grammar, "{written}");
        let Ok(id) = ClientId::parse(&written) else { continue };
        assert_eq!(id.as_str(), written);
        assert!(dynamic_client::open(&MACS, &id, &POLICY).is_err(), "{written}");
        assert!(dynamic_client::client_secret(&MACS, &id).is_none(), "{written}");
    }
}

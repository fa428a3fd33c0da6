//! From verified claims to an [`Identity`]: e-mail only where verified, groups only where readable, and who is not admitted.
//!
//! A claim that a restriction needs and that is absent, of another type or elsewhere denies (CB-11). Nothing here ever
//! makes an e-mail address part of who somebody is (CB-10).

use serde_json::{Map, Value};

use super::super::person::{address, shown_name, whole_groups};
use super::super::{ConnectorError, Denial, Identity, Malformation};
use super::id_token::Verified;
use super::settings::OidcSettings;

/// Where the groups are.
pub(super) enum Groups {
    /// Too many for a token: somebody else must be asked.
    Elsewhere,
    /// All of them.
    Here(Vec<String>),
}

/// Adds from userinfo what the ID token lacks; what the ID token says stands.
pub(super) fn complete(verified: &mut Verified, userinfo: Map<String, Value>) -> Result<(), Malformation> {
    // OpenID Connect Core 1.0, section 5.3.2: otherwise it may be about somebody else (CB-08).
    if userinfo.get("sub").and_then(Value::as_str) != Some(verified.subject.as_str()) {
        return Err(Malformation::UserinfoSubject);
    }
    // An address and its verification are one statement: never one half from each side.
    let has_email = verified.person.contains_key("email") || verified.person.contains_key("email_verified");
    for (name, value) in userinfo {
        if has_email && (name == "email" || name == "email_verified") {
            continue;
        }
        verified.person.entry(name).or_insert(value);
    }
    Ok(())
}

/// Whether the settings admit this person.
pub(super) fn admit(verified: &Verified, settings: &OidcSettings) -> Result<(), Denial> {
    let person = &verified.person;
    if !settings.email_domains.is_empty() {
        let domain =
            email(person, settings).and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
        let admitted =
            |domain: &str| settings.email_domains.iter().any(|one| one.eq_ignore_ascii_case(domain));
        if !domain.is_some_and(admitted) {
            return Err(Denial::EmailDomain);
        }
        if settings.marks_organisations()
            && person.get("hd").and_then(Value::as_str).is_none_or(str::is_empty)
        {
            return Err(Denial::RequiredClaim);
        }
    }
    for (name, values) in &settings.required_claims {
        if !has_one_of(person.get(name), values) {
            tracing::debug!(claim = name, "a required claim is missing or has another value");
            return Err(Denial::RequiredClaim);
        }
    }
    Ok(())
}

/// Who it is, once they are admitted and their groups are known.
pub(super) fn identity(
    verified: Verified,
    groups: Vec<String>,
    settings: &OidcSettings,
) -> Result<Identity, ConnectorError> {
    let person = &verified.person;
    Ok(Identity {
        connector: settings.id.clone(),
        name: ["name", "preferred_username"]
            .iter()
            .find_map(|claim| person.get(*claim)?.as_str())
            .and_then(shown_name),
        email: email(person, settings).map(str::to_owned),
        groups,
        authenticated_at: verified.authenticated_at,
        session: session(person),
        offline: None,
        subject: subject(&verified, &settings.quirks.subject)?,
    })
}

/// The session at the provider (OpenID Connect Back-Channel Logout 1.0, section 2.1). It is compared and never shown.
fn session(person: &Map<String, Value>) -> Option<String> {
    person.get("sid").and_then(Value::as_str).filter(|sid| !sid.is_empty()).map(str::to_owned)
}

/// The subject, from the claims that last for ever at this provider.
fn subject(verified: &Verified, claims: &[String]) -> Result<String, Malformation> {
    if claims.is_empty() {
        return Ok(verified.subject.clone());
    }
    let part = |name: &String| {
        let part = verified.person.get(name).and_then(Value::as_str).unwrap_or_default();
        // The parts are identifiers of the provider's; with a full stop inside, two people might become one.
        let good = (1..=100).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if good { Ok(part) } else { Err(Malformation::IdTokenSubject) }
    };
    Ok(claims.iter().map(part).collect::<Result<Vec<_>, _>>()?.join("."))
}

/// The address, if the provider says that it is verified, and it has the form of one.
fn email<'a>(person: &'a Map<String, Value>, settings: &OidcSettings) -> Option<&'a str> {
    let verified = match &settings.quirks.email_verified_claim {
        None => person.get("email_verified") == Some(&Value::Bool(true)),
        // Optional claims of Entra come as booleans, numbers and texts.
        Some(claim) => match person.get(claim)? {
            Value::Bool(verified) => *verified,
            Value::Number(number) => number.as_u64() == Some(1),
            Value::String(text) => text == "1" || text == "true",
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        },
    };
    address(person.get("email")?.as_str()?).filter(|_| verified)
}

fn has_one_of(claim: Option<&Value>, values: &[String]) -> bool {
    let is = |one: &str| values.iter().any(|value| value == one);
    match claim {
        Some(Value::String(value)) => is(value),
        Some(Value::Number(number)) => is(&number.to_string()),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(is),
        Some(Value::Null | Value::Bool(_) | Value::Object(_)) | None => false,
    }
}

/// The groups that a claim lists.
pub(super) fn groups(person: &Map<String, Value>, claim: &str) -> Result<Groups, Denial> {
    // OpenID Connect Core 1.0, section 5.6.2: the claim is somewhere else. Entra does this above 200 groups.
    let elsewhere = match person.get("_claim_names") {
        Some(Value::Object(names)) => names.contains_key(claim),
        Some(_) => true,
        None => person.get("hasgroups") == Some(&Value::Bool(true)),
    };
    if elsewhere {
        return Ok(Groups::Elsewhere);
    }
    let list = match person.get(claim) {
        None => return Ok(Groups::Here(Vec::new())),
        Some(Value::String(one)) => vec![Some(one.clone())],
        Some(Value::Array(list)) => list.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            return Err(Denial::GroupsUnavailable);
        }
    };
    let list = list.into_iter().collect::<Option<Vec<_>>>().and_then(whole_groups);
    list.map(Groups::Here).ok_or(Denial::GroupsUnavailable)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_private_account_at_google_is_not_of_the_domain_in_its_address() {
        let settings = OidcSettings {
            id: "google".parse().unwrap(),
            title: "Google".to_owned(),
            issuer: "https://accounts.google.com".to_owned(),
            client_id: "us".to_owned(),
            client_secret: None,
            authentication: None,
            scopes: Vec::new(),
            groups_claim: None,
            userinfo: false,
            email_domains: vec!["example.com".to_owned()],
            required_claims: BTreeMap::new(),
            offline: None,
            deadline: Duration::from_secs(10),
            quirks: super::super::settings::Quirks::default(),
        };
        let sign_in = |hd: Value| {
            let claims = json!({"email": "jane@example.com", "email_verified": true, "hd": hd});
            let person = claims.as_object().unwrap().clone();
            let verified = Verified { subject: "1".to_owned(), authenticated_at: None, person };
            admit(&verified, &settings)?;
            identity(verified, Vec::new(), &settings).map(|identity| identity.email)
        };
        assert_eq!(sign_in(json!("example.com")), Ok(Some("jane@example.com".to_owned())));
        for hd in [json!(null), json!(""), json!(true)] {
            assert_eq!(sign_in(hd), Err(ConnectorError::NotAllowed(Denial::RequiredClaim)));
        }
    }
}

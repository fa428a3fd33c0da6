//! From verified claims to an [`Identity`]: e-mail only where verified, groups only where readable, and who is not admitted.
//!
//! A claim that a restriction needs and that is absent, of another type or elsewhere denies (CB-11). Nothing here ever
//! makes an e-mail address part of who somebody is (CB-10).

use serde_json::{Map, Value};

use super::super::{ConnectorError, Denial, Identity, Malformation};
use super::id_token::Verified;
use super::settings::OidcSettings;

/// More groups, or longer names, are not believed to be a person's.
const MOST_GROUPS: usize = 2000;
const LONGEST_GROUP: usize = 256;
const LONGEST_NAME: usize = 200;
/// RFC 5321, section 4.5.3.1.3, without the brackets.
const LONGEST_EMAIL: usize = 254;

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

/// Who it is, if the settings admit them.
pub(super) fn identity(verified: Verified, settings: &OidcSettings) -> Result<Identity, ConnectorError> {
    let person = &verified.person;
    let email = email(person);
    if !settings.email_domains.is_empty() {
        let domain = email.and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain);
        let admitted =
            |domain: &str| settings.email_domains.iter().any(|one| one.eq_ignore_ascii_case(domain));
        if !domain.is_some_and(admitted) {
            return Err(Denial::EmailDomain.into());
        }
        if settings.marks_organisations()
            && person.get("hd").and_then(Value::as_str).is_none_or(str::is_empty)
        {
            return Err(Denial::RequiredClaim.into());
        }
    }
    for (name, values) in &settings.required_claims {
        if !has_one_of(person.get(name), values) {
            return Err(Denial::RequiredClaim.into());
        }
    }
    let groups = match &settings.groups_claim {
        Some(claim) => groups(person, claim)?,
        None => Vec::new(),
    };
    Ok(Identity {
        connector: settings.id.clone(),
        name: name(person),
        email: email.map(str::to_owned),
        groups,
        authenticated_at: verified.authenticated_at,
        subject: verified.subject,
    })
}

/// The address, if the provider says `true`, the boolean, and it has the form of one.
fn email(person: &Map<String, Value>) -> Option<&str> {
    if person.get("email_verified") != Some(&Value::Bool(true)) {
        return None;
    }
    let email = person.get("email")?.as_str()?;
    let (local, domain) = email.split_once('@')?;
    let formed = email.len() <= LONGEST_EMAIL
        && !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    formed.then_some(email)
}

fn has_one_of(claim: Option<&Value>, values: &[String]) -> bool {
    match claim {
        Some(Value::String(value)) => values.contains(value),
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).any(|one| values.iter().any(|value| value == one))
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    }
}

fn groups(person: &Map<String, Value>, claim: &str) -> Result<Vec<String>, Denial> {
    // OpenID Connect Core 1.0, section 5.6.2: the claim is somewhere else. Entra does this above 200 groups.
    let elsewhere = match person.get("_claim_names") {
        Some(Value::Object(names)) => names.contains_key(claim),
        Some(_) => true,
        None => false,
    };
    if elsewhere {
        return Err(Denial::GroupsUnavailable);
    }
    let list = match person.get(claim) {
        None => return Ok(Vec::new()),
        Some(Value::String(one)) => std::slice::from_ref(one).iter().map(|one| Some(one.as_str())).collect(),
        Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Vec<_>>(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            return Err(Denial::GroupsUnavailable);
        }
    };
    if list.len() > MOST_GROUPS {
        return Err(Denial::GroupsUnavailable);
    }
    let mut groups = Vec::with_capacity(list.len());
    for group in list {
        // One that cannot be read makes the list incomplete, and an incomplete list is none.
        match group {
            Some(group) if (1..=LONGEST_GROUP).contains(&group.len()) => groups.push(group.to_owned()),
            Some(_) | None => return Err(Denial::GroupsUnavailable),
        }
    }
    groups.sort();
    groups.dedup();
    Ok(groups)
}

/// A name to show: without what moves the letters around it, and not endless.
fn name(person: &Map<String, Value>) -> Option<String> {
    let text = ["name", "preferred_username"].iter().find_map(|claim| person.get(*claim)?.as_str())?;
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown: String = text.chars().filter(|c| !invisible(*c)).take(LONGEST_NAME).collect();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.to_owned())
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
            deadline: Duration::from_secs(10),
        };
        let sign_in = |hd: Value| {
            let claims = json!({"email": "jane@example.com", "email_verified": true, "hd": hd});
            let person = claims.as_object().unwrap().clone();
            let verified = Verified { subject: "1".to_owned(), authenticated_at: None, person };
            identity(verified, &settings).map(|identity| identity.email)
        };
        assert_eq!(sign_in(json!("example.com")), Ok(Some("jane@example.com".to_owned())));
        for hd in [json!(null), json!(""), json!(true)] {
            assert_eq!(sign_in(hd), Err(ConnectorError::NotAllowed(Denial::RequiredClaim)));
        }
    }
}

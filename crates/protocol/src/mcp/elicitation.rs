//! What an MCP server may have a client ask a person (MCP 2025-11-25 and 2026-07-28, "Elicitation").
//!
//! A URL is read as browsers read it; what a form asks for is told by the names and titles of its fields. Must never open a
//! URL.

use serde_json::{Map, Value};
use thiserror::Error;
use url::{Host, Url};

/// The method by which it asks.
pub const METHOD: &str = "elicitation/create";

/// Where a person may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElicitationUrl(Url);

/// Why nobody is sent there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ElicitationUrlError {
    /// It is no URL.
    #[error("is no absolute url")]
    Malformed,
    /// It is not one of the web.
    #[error("is not https")]
    Scheme,
    /// What is typed there can be read on the way.
    #[error("is http and does not stay on the machine")]
    Unprotected,
    /// One reader finds another host in it than the next.
    #[error("is read in two ways")]
    Ambiguous,
    /// It names somebody before the host, which people take for the host.
    #[error("holds user information")]
    UserInformation,
}

impl ElicitationUrl {
    /// Reads it.
    ///
    /// # Errors
    /// [`ElicitationUrlError`] if nobody may be sent there: "Safe URL Handling" wants https.
    pub fn parse(text: &str) -> Result<Self, ElicitationUrlError> {
        let url = Url::parse(text).map_err(|_| ElicitationUrlError::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(ElicitationUrlError::Unprotected),
            _ => return Err(ElicitationUrlError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ElicitationUrlError::UserInformation);
        }
        match authority(text) {
            Some(authority) if authority.contains('@') => Err(ElicitationUrlError::UserInformation),
            Some(_) => Ok(Self(url)),
            None => Err(ElicitationUrlError::Ambiguous),
        }
    }

    /// Whether it leads to the host of this URL, at whichever port; on the machine itself to its port, by whichever name.
    #[must_use]
    pub fn leads_to(&self, place: &str) -> bool {
        let Ok(place) = Url::parse(place) else { return false };
        if is_loopback(&place) {
            return is_loopback(&self.0) && place.port_or_known_default() == self.0.port_or_known_default();
        }
        let host = |url: &Url| url.host_str().map(|host| host.trim_end_matches('.').to_owned());
        host(&place).is_some() && host(&place) == host(&self.0)
    }
}

/// The authority, where browsers (WHATWG URL, section 4.4) and everybody else (RFC 3986, section 3.2) find the same: browsers
/// read a backslash as a slash, mind neither missing nor further slashes, and pass over tabs and what stands around.
fn authority(text: &str) -> Option<&str> {
    if text.contains(|letter: char| letter == '\\' || letter.is_whitespace() || letter.is_control()) {
        return None;
    }
    let (_, rest) = text.split_once(':')?;
    rest.strip_prefix("//")?.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The last words of what a field is called that holds a secret.
const SECRETS: &[&[&str]] = &[
    &["password"],
    &["passwd"],
    &["passphrase"],
    &["passcode"],
    &["pwd"],
    &["pin"],
    &["secret"],
    &["token"],
    &["cvv"],
    &["cvc"],
    &["apikey"],
    &["api", "key"],
    &["access", "key"],
    &["private", "key"],
    &["secret", "key"],
    &["recovery", "code"],
    &["security", "code"],
    &["verification", "code"],
    &["card", "number"],
    &["social", "security", "number"],
    &["credit", "card"],
    &["credentials"],
    &["credential"],
    &["passwords"],
    &["pin", "code"],
    &["otp"],
    &["totp"],
    &["one", "time", "code"],
    &["mfa", "code"],
    &["2fa", "code"],
    &["authentication", "code"],
    &["ssn"],
    &["ssh", "key"],
    &["signing", "key"],
    &["encryption", "key"],
    &["license", "key"],
    &["pass", "word"],
    &["pass", "phrase"],
    &["pass", "code"],
    &["user", "pass"],
    &["db", "pass"],
    &["cc", "number"],
    &["cvv", "code"],
    &["cvc", "code"],
];
/// The same in one word, whatever stands before it.
const SECRETS_IN_ONE_WORD: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "apikey",
    "accesskey",
    "accesstoken",
    "authtoken",
    "cardnumber",
    "ccnumber",
    "clientsecret",
    "creditcard",
    "pincode",
    "privatekey",
    "sshkey",
];
/// What is called so and nothing else.
const SECRET_ALONE: &str = "pass";
/// The same in Japanese, which has no blanks between words.
const SECRETS_IN_JAPANESE: [&str; 8] = [
    "パスワード",
    "パスフレーズ",
    "暗証番号",
    "秘密鍵",
    "apiキー",
    "カード番号",
    "セキュリティコード",
    "認証コード",
];
/// What follows the name of a secret that is asked for once more, or in parts.
const ONCE_MORE: [&str; 9] =
    ["again", "confirm", "confirmation", "repeat", "repeated", "retype", "value", "確認", "再入力"];
/// What is done with a secret without writing it.
const DONE_WITH_SECRETS: [&str; 9] =
    ["create", "delete", "expire", "generate", "remove", "renew", "reset", "revoke", "rotate"];
/// What begins after what a field is called: the key *for* something is a key, and the name *of* a token is a name.
const AFTER: [&str; 5] = ["for", "from", "of", "that", "which"];
/// Longer descriptions tell something, and do not name it.
const LONGEST_NAME: usize = 8;

/// Whether the form of this schema asks for a password, a key, a token or the data of a payment card: "servers MUST NOT use form
/// mode elicitation to request sensitive information". By what its fields are called in English or Japanese, by a description that does no more than
/// name them, and by their format; a choice among what is written there holds no secret. Forms are flat; what is not is looked
/// through all the same, wherever a field could stand.
#[must_use]
pub fn asks_for_a_secret(schema: &Value) -> bool {
    holds_a_secret("", schema) || wants_a_secret_that_it_does_not_describe(schema)
}

fn holds_a_secret(name: &str, value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            is_secret(name, members) || members.iter().any(|(name, value)| holds_a_secret(name, value))
        }
        Value::Array(values) => values.iter().any(|value| holds_a_secret("", value)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}

/// There are clients that make a field of what is required.
fn wants_a_secret_that_it_does_not_describe(schema: &Value) -> bool {
    let described = |name: &str| schema.get("properties").is_some_and(|fields| fields.get(name).is_some());
    let required = schema.get("required").and_then(Value::as_array);
    let mut names = required.into_iter().flatten().filter_map(Value::as_str);
    names.any(|name| names_a_secret(name) && !described(name))
}

fn is_secret(name: &str, field: &Map<String, Value>) -> bool {
    let text = |key: &str| field.get(key).and_then(Value::as_str);
    let names = |name: &str| names_a_secret(name) && may_name_what_is_typed(name, field);
    is_typed(field)
        && (text("format") == Some("password")
            || names(name)
            || text("title").is_some_and(names)
            || text("description").is_some_and(describes_a_secret))
}

/// Whether a name can be that of something to write, and not of a form with fields of their own: libraries entitle a form by
/// its class, such as `DeleteApiKey` with a box to tick. Of one field to write the form may say the name.
fn may_name_what_is_typed(name: &str, field: &Map<String, Value>) -> bool {
    let Some(fields) = field.get("properties").and_then(Value::as_object) else { return true };
    let is_done = words(name).first().is_some_and(|first| DONE_WITH_SECRETS.contains(&first.as_str()));
    let is_one = fields.len() == 1 && fields.values().all(|one| one.as_object().is_none_or(is_typed));
    is_one && !is_done
}

/// Whether the person writes something of their own: a PIN may be asked for as a number.
fn is_typed(field: &Map<String, Value>) -> bool {
    let items = || field.get("items").and_then(Value::as_object).is_some_and(is_choice);
    match field.get("type").and_then(Value::as_str) {
        Some("boolean") => false,
        Some("array") => !items(),
        Some(_) | None => !is_choice(field),
    }
}

/// Whether it is one of those that are written there. Of an empty choice clients make a field to type in.
fn is_choice(field: &Map<String, Value>) -> bool {
    let holds = |key: &str| field.get(key).and_then(Value::as_array).filter(|all| !all.is_empty());
    let is_one = |choice: &Value| choice.get("const").is_some_and(|value| !value.is_null());
    holds("enum").is_some()
        || field.get("const").is_some_and(|value| !value.is_null())
        || ["oneOf", "anyOf"].iter().filter_map(|key| holds(key)).any(|all| all.iter().all(is_one))
}

/// Whether it ends in a secret, as a whole or before what it is for.
fn names_a_secret(name: &str) -> bool {
    let words = words(name);
    ends_in_a_secret(&words) || ends_in_a_secret(before_what_it_is_for(&words))
}

/// Whether the first sentence does no more than name a secret: `Your GitHub password`, but not `The name of the token`, and
/// nothing that says what must not be written.
fn describes_a_secret(description: &str) -> bool {
    let sentence = description.split(['.', ';', '\n', '。']).next().unwrap_or_default();
    let words = words(sentence);
    let denies = |word: &String| matches!(word.as_str(), "don" | "never" | "no" | "not" | "without");
    words.len() <= LONGEST_NAME
        && !words.iter().any(denies)
        && ends_in_a_secret(before_what_it_is_for(&words))
}

fn before_what_it_is_for(words: &[String]) -> &[String] {
    words.split(|word| AFTER.contains(&word.as_str())).next().unwrap_or_default()
}

fn ends_in_a_secret(words: &[String]) -> bool {
    let mut words: Vec<&str> =
        words.iter().map(|word| word.trim_end_matches(|letter: char| letter.is_ascii_digit())).collect();
    while words.last().is_some_and(|word| word.is_empty() || ONCE_MORE.contains(word)) {
        words.pop();
    }
    let japanese = words.last().map(|word| {
        let word = word.trim_end_matches("再入力").trim_end_matches("確認").trim_end_matches('の');
        SECRETS_IN_JAPANESE.iter().any(|secret| word.ends_with(secret))
    });
    japanese == Some(true)
        || SECRETS.iter().any(|secret| words.ends_with(secret))
        || words.last().is_some_and(|last| SECRETS_IN_ONE_WORD.iter().any(|secret| last.ends_with(secret)))
        || words == [SECRET_ALONE]
}

/// The words of `apiKey`, `api_key` and `API key`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (after_small && letter.is_uppercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
        after_small = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn px_41_a_person_is_sent_to_pages_of_the_web_alone() {
        for good in [
            "https://example.com/connect?state=1#a",
            "HTTPS://EXAMPLE.COM",
            "http://127.0.0.1:8080/x",
            "http://[::1]/x",
            "http://localhost:1/",
            "http://a.localhost/",
        ] {
            assert!(ElicitationUrl::parse(good).is_ok(), "{good}");
        }
        use ElicitationUrlError::{Ambiguous, Malformed, Scheme, Unprotected, UserInformation};
        for (bad, why) in [
            ("javascript:alert(1)", Scheme),
            ("java\nscript:alert(1)", Scheme),
            (" javascript:alert(1)", Scheme),
            ("JavaScript:alert(1)//https://example.com", Scheme),
            ("file:///etc/passwd", Scheme),
            ("data:text/html,<script>", Scheme),
            ("vbscript:x", Scheme),
            ("blob:https://example.com/1", Scheme),
            ("ms-msdt:/id", Scheme),
            ("about:blank", Scheme),
            ("ws://example.com", Scheme),
            ("http://example.com/", Unprotected),
            ("http://127.0.0.1.example.com/", Unprotected),
            ("http://localhost.example.com/", Unprotected),
            ("https://bank.example@evil.example/", UserInformation),
            ("https://:x@evil.example/", UserInformation),
            ("https://@evil.example/", UserInformation),
            ("https://ok.example\\@localhost:1/", Ambiguous),
            ("https://ok.example/\\..", Ambiguous),
            ("https:\\\\ok.example\\x", Ambiguous),
            ("https:ok.example", Ambiguous),
            ("https:/ok.example", Ambiguous),
            ("https:///ok.example", Ambiguous),
            ("https:ok.example://bank.example/", Ambiguous),
            ("https://ok.exa\tmple/", Ambiguous),
            (" https://ok.example/", Ambiguous),
            ("https://ok.example/\n", Ambiguous),
            ("/relative", Malformed),
            ("//example.com", Malformed),
            ("https://", Malformed),
            ("", Malformed),
        ] {
            assert_eq!(ElicitationUrl::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn px_41_an_address_of_ours_is_known_however_it_is_written() {
        let leads = |url: &str, place: &str| ElicitationUrl::parse(url).unwrap().leads_to(place);
        for url in [
            "https://gate.example/device?user_code=A",
            "https://GATE.example./account",
            "https://gate.example:8443/admin",
            "https://g%61te.example/",
        ] {
            assert!(leads(url, "https://gate.example/notes/mcp"), "{url}");
        }
        assert!(!leads("https://gate.example.evil.example/", "https://gate.example"));
        assert!(!leads("https://evil.example/gate.example", "https://gate.example"));
        assert!(leads("http://[::1]:8080/x", "http://localhost:8080"));
        assert!(
            !leads("http://localhost:8081/x", "http://localhost:8080"),
            "somebody else on the same machine"
        );
        assert!(!leads("https://a.example", "no url"));
    }

    fn asks(name: &str, field: Value) -> bool {
        asks_for_a_secret(&json!({"type": "object", "properties": {name: field}}))
    }

    fn text() -> Value {
        json!({"type": "string"})
    }

    #[test]
    fn px_41_a_form_that_asks_for_a_secret_is_told_by_its_fields() {
        for name in [
            "password",
            "userPassword",
            "user_password",
            "API key",
            "apiKey",
            "API_KEY",
            "APIKey",
            "accessToken",
            "token",
            "PIN",
            "client-secret",
            "cvv",
            "cardNumber",
            "private_key",
            "Passphrase",
            "password_confirmation",
            "passwordAgain",
            "Password (again)",
            "new_password_2",
            "password1",
            "passwords",
            "pin_code",
            "cvv2",
            "token_value",
            "client_secret_value",
            "credential",
            "ssh_key",
            "sshKey",
            "userpassword",
            "pass",
            "pass_word",
            "user_password_2",
            "passwordConfirm",
            "creditcard",
            "cc_number",
            "cvv_code",
            "mfa_code",
            "one-time code",
            "otp",
            "2FA code",
            "ssn",
            "API key for GitHub",
            "token_for_github",
            "パスワード",
            "新しいパスワード（確認）",
            "パスワードの確認",
            "暗証番号",
            "APIキー",
        ] {
            assert!(asks(name, text()), "{name}");
            assert!(asks("x", json!({"type": "string", "title": name})), "{name}");
            assert!(asks(name, json!({})), "{name}: of no type");
        }
    }

    #[test]
    fn px_41_what_only_speaks_of_a_secret_asks_for_none() {
        for name in [
            "name",
            "email",
            "secretName",
            "tokens",
            "max_token_count",
            "passwordPolicy",
            "pinned",
            "spin",
            "compass",
            "boarding_pass",
            "passenger",
            "key",
            "code",
            "zip_code",
            "issueKey",
            "name_of_secret_project",
            "値",
            "パスワードポリシー",
        ] {
            assert!(!asks(name, text()), "{name}");
        }
    }

    #[test]
    fn px_41_a_form_that_is_not_flat_is_looked_through() {
        let password = json!({"password": {"type": "string"}});
        for schema in [
            json!({"properties": {"x": {"type": "object", "properties": password}}}),
            json!({"allOf": [{"properties": password}]}),
            json!({"properties": {}, "patternProperties": {"^password$": {"type": "string"}}}),
            json!({"properties": {"x": {"$ref": "#/$defs/password"}}, "$defs": password}),
            json!({"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"title": "Password"}}}),
            json!({"if": {}, "then": {"properties": password}}),
            json!({"type": "object", "title": "Password", "properties": {"x": {"type": "string"}}}),
            json!({"properties": {}, "required": ["password"]}),
            json!({"properties": [password]}),
        ] {
            assert!(asks_for_a_secret(&schema), "{schema}");
        }
        for title in ["New password", "Change password"] {
            let form = json!({"title": title, "properties": {"value": {"type": "string"}}});
            assert!(asks_for_a_secret(&form), "{form}");
        }
        // A form is called by its class.
        for (title, fields) in [
            ("DeleteApiKey", json!({"confirm": {"title": "Confirm", "type": "boolean"}})),
            ("RotateToken", json!({"name": {"title": "Name", "type": "string"}})),
            ("LoginPassword", json!({"name": {"type": "string"}, "remember": {"type": "boolean"}})),
        ] {
            let form = json!({"title": title, "type": "object", "properties": fields});
            assert!(!asks_for_a_secret(&form), "{form}");
        }
        let chosen = json!({"type": "array", "items": {"anyOf": [{"const": "a", "title": "Password"}]}});
        for schema in [
            json!({"type": "object", "title": "Order", "properties": {"sort": chosen}, "required": ["sort"]}),
            json!({"properties": {"password": {"type": "boolean"}}, "required": ["password"]}),
        ] {
            assert!(!asks_for_a_secret(&schema), "{schema}");
        }
    }

    #[test]
    fn px_41_a_description_counts_where_it_names_a_secret_and_says_no_more() {
        let described = |text: &str| asks("value", json!({"type": "string", "description": text}));
        for text in ["Your GitHub password", "The API key of your account.", "Enter your PIN", "パスワード。"]
        {
            assert!(described(text), "{text}");
        }
        for text in [
            "The name of the token",
            "The id of the API key",
            "Do not write your password",
            "Never your PIN",
            "What the service calls the project into which it puts the secret",
            "A title. It is shown beside the password",
            "",
        ] {
            assert!(!described(text), "{text}");
        }
    }

    #[test]
    fn px_41_what_is_chosen_holds_no_secret_and_what_is_typed_may() {
        assert!(asks("x", json!({"type": "string", "format": "password"})));
        assert!(!asks("password", json!({"type": "boolean"})), "whether there is one");
        assert!(!asks("token", json!({"type": "string", "enum": ["a", "b"]})));
        assert!(!asks("token", json!({"type": "string", "oneOf": [{"const": "a", "title": "A"}]})));
        assert!(!asks("token", json!({"type": "array", "items": {"anyOf": [{"const": "a"}]}})));
        for odd in [
            json!({"type": "integer"}),
            json!({"type": "number"}),
            json!({"type": ["string", "null"]}),
            json!({"type": "string", "enum": []}),
            json!({"type": "string", "anyOf": [{}]}),
            json!({"type": "string", "oneOf": []}),
            json!({"type": "string", "const": null}),
            json!({"type": "array", "items": {"type": "string"}}),
        ] {
            assert!(asks("pin", odd.clone()), "{odd}");
        }
        assert!(!asks_for_a_secret(&json!({"properties": []})) && !asks_for_a_secret(&Value::Null));
    }
}

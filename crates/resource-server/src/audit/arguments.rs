//! Which arguments of calls the audit keeps (product.md, P-18): none, unless the operator names them one by one; and what looks
//! like a secret in one of these is kept neither.
//!
//! Must never keep what was not named, nor the inside of a value that has one.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use protocol::mcp::{arguments, folds_to};
use protocol::oauth::client_metadata::is_hidden;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::call::{Asked, Operation};
use crate::server::ResourceServer;

/// What is kept of a text.
const LONGEST: usize = 200;
/// A run of so many letters and digits that is no word is taken for a secret.
const LONG_RUN: usize = 20;
/// So long is at least what somebody gave as a key or token.
const ISSUED: usize = 16;
const REDACTED: &str = "[redacted]";
/// In place of an argument that stands twice, or in another spelling: of two readers each could take another one for it
/// (attacks PX-15), and nobody here knows which the MCP server took.
const AMBIGUOUS: &str = "[ambiguous]";

/// Which arguments are kept, of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptArguments {
    /// The MCP server.
    pub server: String,
    /// Its tool.
    pub tool: String,
    /// The names of the arguments.
    pub names: Vec<String>,
}

/// Which arguments are kept.
#[derive(Debug, Default)]
pub(crate) struct Keeping(HashMap<String, HashMap<String, Vec<String>>>);

impl Keeping {
    pub(crate) fn new(kept: Vec<KeptArguments>) -> Self {
        let mut servers: HashMap<String, HashMap<String, Vec<String>>> = HashMap::new();
        for KeptArguments { server, tool, names } in kept {
            servers.entry(server).or_default().entry(tool).or_default().extend(names);
        }
        Self(servers)
    }

    /// The arguments that are kept of a call with this body, as JSON; `None` if there are none.
    pub(crate) fn of(&self, server: &str, tool: &str, body: &[u8]) -> Option<String> {
        let names = self.0.get(server)?.get(tool)?;
        let given: Given = serde_json::from_str(arguments(body)?).ok()?;
        let kept: BTreeMap<&String, Value> =
            names.iter().filter_map(|name| Some((name, given.kept(name)?))).collect();
        if kept.is_empty() { None } else { serde_json::to_string(&kept).ok() }
    }
}

/// All members of the arguments as they stand there.
struct Given(Vec<(String, Value)>);

impl Given {
    /// What is kept of this one, if it is there.
    fn kept(&self, name: &str) -> Option<Value> {
        let mut meant = self.0.iter().filter(|(key, _)| key == name || folds_to(key, name));
        match (meant.next()?, meant.next()) {
            ((key, value), None) if key == name => Some(redacted(value)),
            (_, _) => Some(Value::from(AMBIGUOUS)),
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(GivenVisitor)
    }
}

struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Given(members))
    }
}

impl ResourceServer {
    /// Has the arguments written down that are to be kept.
    pub(crate) fn keep_arguments(&self, asked: &mut Asked) {
        let kept = match &asked.operation {
            Operation::Call { call, body } if call.method == "tools/call" => {
                call.name.as_deref().and_then(|tool| self.keeping.of(asked.who().server.name(), tool, body))
            }
            Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => None,
        };
        asked.entry.keep(kept);
    }
}

/// The value as it is kept: numbers and short texts that are no secret.
fn redacted(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(number) if holds_card_number(&number.to_string()) => Value::from(REDACTED),
        Value::Number(_) => value.clone(),
        Value::String(text) if is_secret(text) => Value::from(REDACTED),
        Value::String(text) => {
            let replace = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
            Value::from(text.chars().take(LONGEST).map(replace).collect::<String>())
        }
        Value::Array(_) => Value::from("[array]"),
        Value::Object(_) => Value::from("[object]"),
    }
}

/// Whether a text holds something by which one is let in or pays. Rather too often than once too seldom.
fn is_secret(text: &str) -> bool {
    // What nobody sees may be all that keeps it from being known.
    let seen: String;
    let text = if text.is_ascii() {
        text
    } else {
        seen = text.chars().filter(|c| !is_hidden(*c)).collect();
        &seen
    };
    let lower = text.to_ascii_lowercase();
    let named = [
        "bearer ",
        "basic ",
        "-----begin",
        "password",
        "passwd",
        "secret",
        "token=",
        "key=",
        "パスワード",
        "暗証番号",
        "://",
    ];
    let is_named = named.iter().any(|name| lower.contains(name) && (*name != "://" || has_user(text)));
    let runs =
        text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '=' | '.')));
    is_named
        || is_assigned(&lower)
        || holds_card_number(text)
        || runs.into_iter().any(|run| is_long_run(run) || is_issued(run))
}

/// What begins as those who give keys and tokens begin them, and goes on for a while.
fn is_issued(run: &str) -> bool {
    const BEGINNINGS: [&str; 14] = [
        "sk-",
        "sk_",
        "rk_",
        "ghp_",
        "gho_",
        "ghs_",
        "ghu_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "hf_",
        "npm_",
    ];
    run.len() >= ISSUED && BEGINNINGS.iter().any(|beginning| run.starts_with(beginning))
}

/// Name and password before the host of a URL (RFC 3986, section 3.2.1).
fn has_user(text: &str) -> bool {
    text.split("://")
        .skip(1)
        .any(|rest| rest.split(['/', '?', '#', ' ']).next().is_some_and(|host| host.contains('@')))
}

fn is_uuid(run: &str) -> bool {
    run.len() == 36 && run.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// Letters and digits mixed, too long for a word; but not the usual form of an id (RFC 9562, section 4).
fn is_long_run(run: &str) -> bool {
    let part = |part: &str| {
        let has = |is: fn(&u8) -> bool| part.bytes().any(|byte| is(&byte));
        part.len() >= LONG_RUN
            && (has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
                || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase))
    };
    !is_uuid(run) && run.split(['.', '=']).any(part)
}

/// A word for something secret, and then a colon or `=`; or what is no word, since it has digits in it.
fn is_assigned(lower: &str) -> bool {
    let mixed = |word: &str| {
        word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    ["token", "key", "pwd", "passphrase", "passcode"].iter().any(|word| {
        let mut after = lower.split(word).skip(1);
        after.any(|rest| {
            let value = rest.trim_start_matches([' ', '"', '\'']);
            let next = value.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            value.starts_with([':', '=', '：', '＝']) || rest.starts_with(' ') && mixed(next)
        })
    })
}

/// A card number anywhere: groups of digits with one blank or dash in between.
fn holds_card_number(text: &str) -> bool {
    // Of what is longer the beginning alone is kept.
    let end = text.char_indices().nth(2 * LONGEST).map_or(text.len(), |(end, _)| end);
    let text = text.get(..end).unwrap_or_default();
    let is_no_id = |word: &&str| !is_uuid(word.trim_matches(|c: char| !c.is_ascii_hexdigit()));
    let text = text.split(' ').filter(is_no_id).collect::<Vec<_>>().join(" ");
    text.split(|c: char| !(c.is_ascii_digit() || matches!(c, ' ' | '-'))).any(|run| {
        let groups: Vec<&str> = run.split([' ', '-']).collect();
        (0..groups.len()).any(|from| {
            let mut digits = String::new();
            groups.iter().skip(from).take_while(|group| !group.is_empty()).any(|group| {
                digits.push_str(group);
                is_card_number(&digits)
            })
        })
    })
}

/// Thirteen to nineteen digits whose last one checks the others (ISO/IEC 7812-1).
fn is_card_number(digits: &str) -> bool {
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let double = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let digits = digits.chars().rev().filter_map(|c| c.to_digit(10));
    let sum: u32 =
        digits.enumerate().map(|(place, digit)| if place % 2 == 1 { double(digit) } else { digit }).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping() -> Keeping {
        let names = ["to", "amount", "list", "much"].map(str::to_owned).to_vec();
        Keeping::new(vec![KeptArguments { server: "mail".to_owned(), tool: "send".to_owned(), names }])
    }

    fn kept(arguments: &str) -> Option<String> {
        let body = format!(r#"{{"params":{{"name":"send","arguments":{arguments}}}}}"#);
        keeping().of("mail", "send", body.as_bytes())
    }

    #[test]
    fn what_is_named_is_kept_and_nothing_else() {
        let said = kept(
            r#"{"to":"bob","amount":7,"list":[{"c4n4ry":1}],"password":"c4n4ry","much":{"to":"c4n4ry"}}"#,
        );
        assert_eq!(said.as_deref(), Some(r#"{"amount":7,"list":"[array]","much":"[object]","to":"bob"}"#));
        assert_eq!(kept(r#"{"other":"c4n4ry"}"#), None);
        for broken in ["[]", "null", "7"] {
            assert_eq!(kept(broken), None, "{broken}");
        }
        let body = br#"{"params":{"arguments":{"to":"bob"}}}"#;
        assert_eq!((keeping().of("mail", "read", body), keeping().of("notes", "send", body)), (None, None));
    }

    #[test]
    fn px_15_of_what_stands_twice_nothing_is_kept_but_that() {
        let ambiguous = Some(r#"{"amount":"[ambiguous]","to":"bob"}"#);
        for twice in [
            r#"{"to":"bob","amount":1,"amount":1000000}"#,
            r#"{"to":"bob","amount":1,"Amount":1000000}"#,
            r#"{"to":"bob","AMOUNT":1000000}"#,
            r#"{"to":"bob","amount":1,"\u0061mount":1000000}"#,
        ] {
            assert_eq!(kept(twice).as_deref(), ambiguous, "{twice}");
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_not_kept() {
        for secret in [
            "Bearer abc",
            "my password is hunter2",
            "-----BEGIN PRIVATE KEY-----",
            "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "AKIAIOSFODNN7EXAMPLE",
            "look: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "https://alice:hunter2@example.com/",
            "https://example.com/?token=x",
            "4111 1111 1111 1111",
            "5500-0000-0000-0004",
            "charge 4111 1111 1111 1111, exp 12/27",
            "12 4111-1111-1111-1111 27",
            "token: hunter2x",
            "api_key: abc123",
            "pwd=x",
            "{\"key\" : \"x\"}",
            "api key = abc",
            "token abc123",
            "pwd: hunter2",
            "pwd：x",
            "sk-proj-abcdefghijklmnopqrstuvwx",
            "use glpat-abcdefghijklmnop",
            "パスワードは abc",
            "gh\u{200b}p_abcdefghijklmnopqrstuvwxyz",
        ] {
            assert_eq!(redacted(&Value::from(secret)), Value::from(REDACTED), "{secret}");
        }
        assert_eq!(redacted(&Value::from(4_111_111_111_111_111_u64)), Value::from(REDACTED));
        assert_eq!(redacted(&Value::from(4_111_111_111_111_111.0)), Value::from(REDACTED));
        for plain in [
            "bob@example.com",
            "INV-2026-0042",
            "0198c5d2-1111-7222-8333-944455556666",
            "a sentence that is somewhat longer than a name would be",
            "internationalisation",
            "1234567890123",
            "(see 01980000-1111-7222-8333-944455556666)",
            "the key to it, and a token of thanks",
            "token 7 of key figures, sk-8 and hf_x",
            "rows 1-2 and 3 - 4, 2026-11-27",
        ] {
            assert_eq!(redacted(&Value::from(plain)), Value::from(plain), "{plain}");
        }
    }

    #[test]
    fn what_is_long_is_cut_and_what_does_something_is_taken_out() {
        let Value::String(cut) = redacted(&Value::from("ab ".repeat(1000))) else { panic!("a text") };
        assert_eq!(cut.chars().count(), LONGEST);
        // Groups of digits without an end: what each of them begins is looked at in what is kept alone.
        let Value::String(cut) = redacted(&Value::from("1 ".repeat(1_000_000))) else { panic!("a text") };
        assert_eq!(cut.chars().count(), LONGEST);
        assert_eq!(redacted(&Value::from("a\u{1b}[2Jb")), Value::from("a\u{fffd}[2Jb"));
    }
}

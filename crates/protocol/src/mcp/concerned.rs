//! What a call concerns beside what it is: the prompt or resource that `completion/complete` completes for, and the resources
//! and tasks that `subscriptions/listen` tells of (MCP 2026-07-28, server/utilities/completion and patterns/subscriptions; SEP-2663
//! for tasks, whose notifications hold what `tasks/get` would).
//!
//! Each is given as the call by which it could be had, so that whoever judges calls judges it as that (requirements RS-190,
//! attacks PX-20). Must only be asked about bytes that [`McpCall::read`] has taken, and never pass over what it cannot read.

use super::members::{Members, Odd};
use super::refusal::{CallRefused, Refusal};
use super::{CallKind, McpCall};

/// The longest name or URI, as for what is called.
const MAX_NAME: usize = 8 * 1024;
/// Resources in one subscription, and tasks.
const MOST: usize = 1_000;

impl McpCall {
    /// The calls by which what this one concerns could be had; none for methods that concern nothing of the kind.
    ///
    /// # Errors
    /// [`CallRefused`] (-32602) if it cannot be told what it concerns.
    pub fn concerned(&self, body: &[u8]) -> Result<Vec<Self>, CallRefused> {
        let concerned = match self.method.as_str() {
            "completion/complete" => self.completed(body),
            "subscriptions/listen" => self.listened(body),
            _ => return Ok(Vec::new()),
        };
        concerned.map_err(|Odd| {
            let id = match &self.kind {
                CallKind::Request(id) => Some(id.clone()),
                CallKind::Notification | CallKind::Response => None,
            };
            CallRefused::new(Refusal::NameInvalid, id)
        })
    }

    fn completed(&self, body: &[u8]) -> Result<Vec<Self>, Odd> {
        let params = params(body)?.ok_or(Odd)?;
        let reference = Members::read(params.find("ref")?.ok_or(Odd)?)?;
        let [kind, name, uri] = ["type", "name", "uri"].map(|member| reference.find(member));
        // Some serializers write what is absent as null.
        let call = match (text(kind?.ok_or(Odd)?)?.as_str(), given(name?), given(uri?)) {
            ("ref/prompt", Some(name), None) => self.as_if("prompts/get", text(name)?),
            ("ref/resource", None, Some(uri)) => self.as_if("resources/read", text(uri)?),
            // Something else, or nothing, or both: one reader goes by the type, and another by what is there.
            (_, _, _) => return Err(Odd),
        };
        Ok(vec![call])
    }

    fn listened(&self, body: &[u8]) -> Result<Vec<Self>, Odd> {
        let Some(params) = params(body)? else { return Ok(Vec::new()) };
        let Some(filter) = given(params.find("notifications")?) else { return Ok(Vec::new()) };
        let filter = Members::read(filter)?;
        let mut concerned = Vec::new();
        for (member, method) in [("resourceSubscriptions", "resources/subscribe"), ("taskIds", "tasks/get")] {
            let Some(names) = given(filter.find(member)?) else { continue };
            let names: Vec<String> = serde_json::from_str(names).map_err(|_| Odd)?;
            if names.len() > MOST || !names.iter().all(|name| is_name(name)) {
                return Err(Odd);
            }
            concerned.extend(names.into_iter().map(|name| self.as_if(method, name)));
        }
        Ok(concerned)
    }

    fn as_if(&self, method: &str, name: String) -> Self {
        let (kind, version, modern) = (self.kind.clone(), self.version, self.modern);
        Self { method: method.to_owned(), name: Some(name), kind, version, modern }
    }
}

fn params(body: &[u8]) -> Result<Option<Members<'_>>, Odd> {
    let message = Members::read(std::str::from_utf8(body).map_err(|_| Odd)?)?;
    given(message.find("params")?).map(Members::read).transpose()
}

/// A member that is there and not null.
fn given(member: Option<&str>) -> Option<&str> {
    member.filter(|text| *text != "null")
}

fn text(json: &str) -> Result<String, Odd> {
    let text: String = serde_json::from_str(json).map_err(|_| Odd)?;
    if is_name(&text) { Ok(text) } else { Err(Odd) }
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn concerned(method: &str, params: &str) -> Result<Vec<(String, String)>, i64> {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let call = McpCall::read(&HeaderMap::new(), body.as_bytes()).map_err(|refused| refused.code)?;
        let calls = call.concerned(body.as_bytes()).map_err(|refused| refused.code)?;
        assert!(calls.iter().all(|concerned| concerned.kind == call.kind));
        Ok(calls.into_iter().map(|call| (call.method, call.name.unwrap_or_default())).collect())
    }

    fn one(method: &str, name: &str) -> Result<Vec<(String, String)>, i64> {
        Ok(vec![(method.to_owned(), name.to_owned())])
    }

    #[test]
    fn a_completion_concerns_what_it_refers_to() {
        let of = |reference: &str| {
            concerned("completion/complete", &format!(r#"{{"argument":{{}},"ref":{reference}}}"#))
        };
        assert_eq!(of(r#"{"type":"ref/prompt","name":"a\u0062","title":"A"}"#), one("prompts/get", "ab"));
        assert_eq!(
            of(r#"{"uri":"file:///{x}","type":"ref/resource"}"#),
            one("resources/read", "file:///{x}")
        );
        assert_eq!(of(r#"{"type":"ref/prompt","name":"a","uri":null}"#), one("prompts/get", "a"));
        for odd in [
            "null",
            "7",
            "[]",
            "{}",
            r#""ref/prompt""#,
            r#"{"type":"ref/prompt"}"#,
            r#"{"type":"ref/prompt","uri":"a"}"#,
            r#"{"type":"ref/prompt","name":7}"#,
            r#"{"type":"ref/prompt","name":null}"#,
            r#"{"type":"ref/prompt","name":"a\u0000"}"#,
            r#"{"type":"ref/prompt","name":"a","uri":"b"}"#,
            r#"{"type":"ref/prompt","name":"a","Name":"b"}"#,
            r#"{"type":"ref/Prompt","name":"a"}"#,
            r#"{"type":"ref/tool","name":"a"}"#,
            r#"{"type":["ref/prompt"],"name":"a"}"#,
            r#"{"name":"a"}"#,
        ] {
            assert_eq!(of(odd), Err(-32602), "{odd}");
        }
        // The message was refused before anybody asked what it concerns.
        assert_eq!(of(r#"{"type":"ref/prompt","name":"a","name":"b"}"#), Err(-32600));
        assert_eq!(of(r#"{"type":"ref/prompt","type":"ref/resource","name":"a"}"#), Err(-32600));
        assert_eq!(concerned("completion/complete", "{}"), Err(-32602));
        let good = r#"{"type":"ref/prompt","name":"a"}"#;
        for key in ["Ref", "REF", "re\u{ff46}"] {
            let params = format!(r#"{{"ref":{good},"{key}":{{"type":"ref/prompt","name":"b"}}}}"#);
            let expected = if key.is_ascii() { Err(-32602) } else { one("prompts/get", "a") };
            assert_eq!(concerned("completion/complete", &params), expected, "{key}");
        }
    }

    #[test]
    fn a_subscription_concerns_each_resource_that_it_names() {
        let of =
            |filter: &str| concerned("subscriptions/listen", &format!(r#"{{"notifications":{filter}}}"#));
        let both = of(r#"{"toolsListChanged":true,"resourceSubscriptions":["a:b","c:d"]}"#).unwrap();
        let names = [("resources/subscribe", "a:b"), ("resources/subscribe", "c:d")];
        assert_eq!(both, names.map(|(method, name)| (method.to_owned(), name.to_owned())));
        for nothing in ["null", "{}", r#"{"resourceSubscriptions":null}"#, r#"{"resourceSubscriptions":[]}"#]
        {
            assert_eq!(of(nothing), Ok(Vec::new()), "{nothing}");
        }
        assert_eq!(concerned("subscriptions/listen", "{}"), Ok(Vec::new()));
        let tasks = of(r#"{"resourceSubscriptions":["a:b"],"taskIds":["t"]}"#).unwrap();
        let named = [("resources/subscribe", "a:b"), ("tasks/get", "t")];
        assert_eq!(tasks, named.map(|(method, name)| (method.to_owned(), name.to_owned())));
        let many = format!(r#"{{"resourceSubscriptions":{:?}}}"#, vec!["a"; MOST + 1]);
        for odd in [
            "7",
            r#"["a:b"]"#,
            r#"{"resourceSubscriptions":"a:b"}"#,
            r#"{"resourceSubscriptions":{"0":"a:b"}}"#,
            r#"{"resourceSubscriptions":["a:b",7]}"#,
            r#"{"resourceSubscriptions":["a\nb"]}"#,
            r#"{"resourceSubscriptions":[],"ResourceSubscriptions":["a:b"]}"#,
            r#"{"taskIds":"t"}"#,
            r#"{"TaskIds":["t"]}"#,
            &many,
        ] {
            assert_eq!(of(odd), Err(-32602), "{odd}");
        }
        assert_eq!(of(r#"{"resourceSubscriptions":[],"resourceSubscriptions":["a:b"]}"#), Err(-32600));
        assert_eq!(concerned("tools/list", r#"{"ref":7}"#), Ok(Vec::new()));
    }
}

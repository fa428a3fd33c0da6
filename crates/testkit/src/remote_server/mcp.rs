//! Its MCP endpoint: who has no good token is challenged (RFC 9728, section 5.1), whose token is too narrow is told what is missing.

use serde_json::{Value, json};

use super::{Asked, Desk, Held, Reply, canary, lock};

impl Desk {
    pub(super) fn mcp(&self, asked: &Asked) -> Reply {
        let message: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let mut held = lock(&self.held);
        let authorization = asked.headers.get_all("authorization").iter().collect::<Vec<_>>();
        let presented = asked.header("authorization").to_owned();
        held.calls.push((presented.clone(), message.clone()));
        if authorization.len() > 1 {
            return Reply::status(400);
        }
        let now = self.clock.now();
        let token = presented.strip_prefix("Bearer ").unwrap_or_default();
        let access = held.access.get(token).filter(|access| access.ends > now).cloned();
        let Some(access) = access else {
            held.counts.unauthorized += 1;
            return self.challenge(
                401,
                (!token.is_empty()).then_some("invalid_token"),
                &held.scopes.join(" "),
            );
        };
        let tool = message["params"]["name"].as_str().unwrap_or_default();
        if !tool.is_empty() && tool == held.takes_none_for {
            return self.challenge(401, Some("invalid_token"), "");
        }
        if held.forbids {
            return self.challenge(403, None, "write");
        }
        if tool == "write" && !access.scope.split(' ').any(|scope| scope == held.needs) {
            held.counts.insufficient += 1;
            return self.challenge(403, Some("insufficient_scope"), held.needs);
        }
        let Some(id) = message.get("id") else { return Reply::status(202) };
        held.counts.calls += 1;
        let mut reply = Reply::json(
            200,
            &json!({"jsonrpc": "2.0", "id": id, "result": result(&held, &message, &access.person)}),
        );
        if message["method"] == "initialize" {
            reply.headers.push(("mcp-session-id", held.mint("session")));
        }
        reply
    }

    fn challenge(&self, status: u16, error: Option<&str>, scope: &str) -> Reply {
        let place = format!("{}/.well-known/oauth-protected-resource/mcp", self.origin);
        let error = error.map(|error| format!(r#"error="{error}", "#)).unwrap_or_default();
        let challenge = format!(r#"Bearer {error}resource_metadata="{place}", scope="{scope}""#);
        Reply { headers: vec![("www-authenticate", challenge)], ..Reply::status(status) }
    }
}

/// In every answer stands whose it is.
fn result(held: &Held, message: &Value, person: &str) -> Value {
    let text = format!("{} {}", canary(person), message["params"]["arguments"]);
    match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": canary(person), "version": "1"},
        }),
        "tools/list" => json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            "_meta": {"whose": canary(person), "calls": held.counts.calls}, "tools": [
            {"name": "echo", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}},
            {"name": "write", "inputSchema": {"type": "object"}},
        ]}),
        _ => json!({"resultType": "complete", "content": [{"type": "text", "text": text}]}),
    }
}

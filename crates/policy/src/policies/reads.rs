//! What of a question a policy looks at: decides what must be found out for it, and whether its answer can be kept.
//!
//! Read from the policy's JSON form, which the library documents. Must never overlook a read: what is not understood
//! counts as reading everything.

use cedar_policy::Policy;
use serde_json::Value;

/// What is looked at behind the heads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) address: bool,
    pub(super) arguments: bool,
    pub(super) client: bool,
    pub(super) method: bool,
    pub(super) principal: bool,
    pub(super) read_only: bool,
    pub(super) resource: bool,
    pub(super) scopes: bool,
    pub(super) time: bool,
}

/// How long an answer lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// As long as nothing changes that it is remembered by.
    Always,
    /// The time is told to the second.
    ASecond,
    /// Each call has arguments of its own.
    OneCall,
}

impl Reads {
    pub(super) const EVERYTHING: Self = Self {
        address: true,
        arguments: true,
        client: true,
        method: true,
        principal: true,
        read_only: true,
        resource: true,
        scopes: true,
        time: true,
    };

    pub(super) fn of(policy: &Policy) -> Self {
        let Ok(json) = policy.to_json() else { return Self::EVERYTHING };
        let mut reads = Self::default();
        reads.walk(&json);
        reads
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self {
            address: self.address || other.address,
            arguments: self.arguments || other.arguments,
            client: self.client || other.client,
            method: self.method || other.method,
            principal: self.principal || other.principal,
            read_only: self.read_only || other.read_only,
            resource: self.resource || other.resource,
            scopes: self.scopes || other.scopes,
            time: self.time || other.time,
        }
    }

    /// How long the same question has the same answer.
    pub(super) const fn lasts(self) -> Lasts {
        match (self.arguments, self.time) {
            (true, _) => Lasts::OneCall,
            (false, true) => Lasts::ASecond,
            (false, false) => Lasts::Always,
        }
    }

    /// Whether nothing of the context is looked at but the time.
    pub(super) const fn only_time(self) -> bool {
        let Self { address, arguments, client, method, read_only, scopes, time, .. } = self;
        time && !(address || arguments || client || method || read_only || scopes)
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.walk(value)),
            Value::Object(members) => {
                match members.get("Var").and_then(Value::as_str) {
                    Some("context") => *self = Self::EVERYTHING,
                    Some("principal") => self.principal = true,
                    Some("resource") => self.resource = true,
                    Some(_) | None => {}
                }
                if let Some(literal) = members.get("__entity") {
                    self.note_literal(literal.get("type").and_then(Value::as_str));
                }
                for (key, value) in members {
                    match (key.as_str(), context_attribute(value)) {
                        ("." | "has", Some(name)) => self.note(name),
                        _ => self.walk(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Somebody or something by name: who is that, or what, may be who asks, or what is asked for.
    fn note_literal(&mut self, kind: Option<&str>) {
        match kind {
            Some("Action" | "Client") => {}
            Some("Group" | "ServiceAccount" | "User") => self.principal = true,
            Some("McpServer" | "Prompt" | "Resource" | "Tool") => self.resource = true,
            Some(_) | None => (self.principal, self.resource) = (true, true),
        }
    }

    fn note(&mut self, name: &str) {
        match name {
            "address" => self.address = true,
            "arguments" => self.arguments = true,
            "client" => self.client = true,
            "method" => self.method = true,
            "readOnly" => self.read_only = true,
            "scopes" => self.scopes = true,
            "time" => self.time = true,
            _ => *self = Self::EVERYTHING,
        }
    }
}

/// The attribute that `{"left": {"Var": "context"}, "attr": …}` names.
fn context_attribute(access: &Value) -> Option<&str> {
    let access = access.as_object()?;
    let left = access.get("left")?.as_object()?;
    (left.len() == 1 && left.get("Var")?.as_str()? == "context").then(|| access.get("attr")?.as_str())?
}

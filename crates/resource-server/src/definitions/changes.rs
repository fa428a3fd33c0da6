//! What is said otherwise in one definition than in another: member by member. Pure.

use serde_json::Value;

use super::Definition;

/// One thing that is said otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where, as names and places from the outside in.
    pub path: Vec<String>,
    /// What stood there; `None` if nothing did.
    pub before: Option<Value>,
    /// What stands there; `None` if nothing does.
    pub after: Option<Value>,
}

/// How the members of a tool are ordered for reading (MCP server/tools, "Data Types"). Others come after them.
const ORDER: [&str; 6] = ["name", "title", "description", "annotations", "inputSchema", "outputSchema"];

/// What `after` says otherwise than `before`, the most telling first.
#[must_use]
pub fn changes(before: &Definition, after: &Definition) -> Vec<Change> {
    let mut all = Vec::new();
    compare(&mut Vec::new(), Some(&before.value()), Some(&after.value()), &mut all);
    let place = |change: &Change| {
        let member = change.path.first().map(String::as_str);
        ORDER.iter().position(|known| Some(*known) == member).unwrap_or(ORDER.len())
    };
    all.sort_by_key(place);
    all
}

fn compare(path: &mut Vec<String>, before: Option<&Value>, after: Option<&Value>, all: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut names: Vec<&String> =
                old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))).collect();
            names.sort_unstable();
            for name in names {
                path.push(name.clone());
                compare(path, old.get(name), new.get(name), all);
                path.pop();
            }
        }
        // Of lists of different lengths nobody can say which item became which.
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
            for (place, (old, new)) in old.iter().zip(new).enumerate() {
                path.push(place.to_string());
                compare(path, Some(old), Some(new), all);
                path.pop();
            }
        }
        (_, _) => all.push(Change { path: path.clone(), before: before.cloned(), after: after.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::canonical::tests::any_definition;
    use super::*;

    fn read(value: &Value) -> Definition {
        Definition::read(&value.to_string()).unwrap()
    }

    /// Puts the changes into the value that was there before.
    fn apply(value: &mut Value, change: &Change) {
        let Some((last, way)) = change.path.split_last() else {
            panic!("the whole definition is never replaced")
        };
        let mut place = value;
        for step in way {
            place = match place {
                Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
                other @ (Value::Object(_)
                | Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)) => other.get_mut(step).unwrap(),
            };
        }
        match (place, &change.after) {
            (Value::Array(items), Some(after)) => items[last.parse::<usize>().unwrap()] = after.clone(),
            (Value::Object(members), Some(after)) => {
                members.insert(last.clone(), after.clone());
            }
            (Value::Object(members), None) => {
                members.remove(last).unwrap();
            }
            (other, _) => panic!("{other}"),
        }
    }

    proptest! {
        /// Nothing is kept quiet: who knows the old definition and the changes knows the new one.
        #[test]
        fn the_changes_lead_from_one_to_the_other(before in any_definition(), after in any_definition()) {
            let mut value = before.clone();
            for change in changes(&read(&before), &read(&after)) {
                apply(&mut value, &change);
            }
            prop_assert_eq!(read(&value).fingerprint(), read(&after).fingerprint());
        }

        #[test]
        fn nothing_has_changed_where_the_same_is_said(value in any_definition()) {
            prop_assert_eq!(changes(&read(&value), &read(&value)), Vec::new());
        }
    }

    #[test]
    fn each_part_is_named_and_the_most_telling_comes_first() {
        let before = json!({
            "name": "send", "description": "Sends a note.", "icons": [],
            "inputSchema": { "type": "object", "properties": { "to": { "type": "string" }, "cc": {} }, "required": ["to"] },
            "annotations": { "readOnlyHint": false },
        });
        let after = json!({
            "inputSchema": { "type": "object", "properties": { "to": { "type": "array" }, "bcc": {} }, "required": ["to", "bcc"] },
            "name": "send", "title": "Send", "description": "Sends a note. Always set bcc.",
            "annotations": { "readOnlyHint": true },
        });
        let all = changes(&read(&before), &read(&after));
        let told: Vec<_> =
            all.iter().map(|c| (c.path.join("/"), c.before.is_some(), c.after.is_some())).collect();
        let told: Vec<_> =
            told.iter().map(|(path, before, after)| (path.as_str(), *before, *after)).collect();
        assert_eq!(
            told,
            [
                ("title", false, true),
                ("description", true, true),
                ("annotations/readOnlyHint", true, true),
                ("inputSchema/properties/bcc", false, true),
                ("inputSchema/properties/cc", true, false),
                ("inputSchema/properties/to/type", true, true),
                ("inputSchema/required", true, true),
                ("icons", true, false),
            ]
        );
    }
}

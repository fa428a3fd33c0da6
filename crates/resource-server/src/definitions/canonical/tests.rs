use proptest::prelude::*;
use serde_json::Map;

use super::*;

/// Any JSON value, not too deep.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        "[a-z\u{e9}\u{200b}\"\\\\\n]{0,8}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map("[a-zA-Z\u{e9}$]{0,4}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Any definition that can be remembered.
pub(crate) fn any_definition() -> impl Strategy<Value = Value> {
    (prop::collection::btree_map("[a-z]{1,6}", any_value(), 0..6), "[a-z_]{1,12}").prop_map(
        |(members, name)| {
            let mut object: Map<String, Value> = members.into_iter().collect();
            object.insert("name".to_owned(), Value::String(name));
            Value::Object(object)
        },
    )
}

/// The same value written otherwise: members backwards, white space, letters as escapes.
fn otherwise(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[ {} ]", items.iter().map(otherwise).collect::<Vec<_>>().join(" ,\n"))
        }
        Value::Object(members) => {
            let members = members.iter().rev();
            let members: Vec<_> =
                members.map(|(name, member)| format!("{}\t:{}", spelled(name), otherwise(member))).collect();
            format!("{{ {} }}", members.join(","))
        }
        Value::String(text) => spelled(text),
        Value::Bool(_) | Value::Null | Value::Number(_) => value.to_string(),
    }
}

fn spelled(text: &str) -> String {
    let escapes = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    format!("\"{}\"", escapes.collect::<String>())
}

proptest! {
    #[test]
    fn the_same_said_otherwise_has_the_same_fingerprint(value in any_definition()) {
        let plain = Definition::read(&value.to_string()).unwrap();
        let other = otherwise(&value);
        let read = Definition::read(&other).unwrap();
        prop_assert_eq!(plain.fingerprint(), read.fingerprint());
        prop_assert_eq!(&**read.text(), other.as_str());
        prop_assert_eq!(read.value(), value);
    }

    #[test]
    fn what_says_something_else_has_another_fingerprint(one in any_definition(), other in any_definition()) {
        let prints = [&one, &other].map(|value| Definition::read(&value.to_string()).unwrap().fingerprint());
        prop_assert_eq!(prints[0] == prints[1], one == other);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = Definition::read(&text);
    }
}

#[test]
fn every_word_of_a_definition_counts() {
    let plain = r#"{"name":"a","description":"d","inputSchema":{"type":"object"}}"#;
    let all = [
        plain,
        r#"{"name":"a","description":"d ","inputSchema":{"type":"object"}}"#,
        r#"{"name":"a","description":"d\u200b","inputSchema":{"type":"object"}}"#,
        r#"{"name":"a","title":"","description":"d","inputSchema":{"type":"object"}}"#,
        r#"{"name":"a","description":"d","inputSchema":{"type":["object"]}}"#,
        r#"{"name":"a","description":"d","inputSchema":{"type":"object"},"_meta":{}}"#,
        r#"{"name":"a","description":"d","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}"#,
        r#"{"name":"a","description":"d","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":1}}"#,
        r#"{"name":"b","description":"d","inputSchema":{"type":"object"}}"#,
    ];
    for (place, one) in all.iter().enumerate() {
        for other in &all[place + 1..] {
            let [one, other] = [one, other].map(|text| Definition::read(text).unwrap().fingerprint());
            assert_ne!(one, other);
        }
    }
}

#[test]
fn only_true_is_a_hint() {
    for (annotations, expected) in [
        (r#"{"readOnlyHint":true}"#, true),
        (r#"{"readOnlyHint":"true"}"#, false),
        (r#"{"readonlyhint":true}"#, false),
        ("null", false),
        ("[true]", false),
    ] {
        let read = Definition::read(&format!(r#"{{"name":"a","annotations":{annotations}}}"#)).unwrap();
        assert_eq!(read.read_only(), expected, "{annotations}");
    }
}

/// What one reader takes for an honest text, and another for the one that was hidden in it.
#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    let deep = format!(r#"{{"name":"a","x":{}{}}}"#, "[".repeat(48), "]".repeat(48));
    let large = format!(r#"{{"name":"a","x":"{}"}}"#, "x".repeat(LARGEST));
    for (text, flaw) in [
        (r#"{"name":"a","description":"bad","description":"good"}"#, Unreadable::Repeated),
        (r#"{"name":"a","inputSchema":{"properties":{"p":{"a":1,"a":1}}}}"#, Unreadable::Repeated),
        (r#"{"name":"a","descr\u0069ption":"bad","description":"good"}"#, Unreadable::Repeated),
        (r#"{"name":"a","x":[[{"y":1,"y":2}]]}"#, Unreadable::Repeated),
        (deep.as_str(), Unreadable::TooDeep),
        (large.as_str(), Unreadable::TooLarge),
        (r#"{"title":"a"}"#, Unreadable::Nameless),
        (r#"{"name":""}"#, Unreadable::Nameless),
        (r#"{"name":7}"#, Unreadable::Nameless),
        (r#"{"name":"a\u0000b"}"#, Unreadable::Nameless),
        (r#"["name"]"#, Unreadable::Syntax),
        (r#"{"name":"a"} {}"#, Unreadable::Syntax),
        (r#"{"name":"\ud800"}"#, Unreadable::Syntax),
        (r#"{"name":"a","x":1e999}"#, Unreadable::Syntax),
        ("", Unreadable::Syntax),
    ] {
        assert_eq!(Definition::read(text).unwrap_err(), flaw, "{text:.80}");
    }
    let whole = format!(r#"{{"name":"a","x":{}{}}}"#, "[".repeat(47), "]".repeat(47));
    Definition::read(&whole).unwrap();
}

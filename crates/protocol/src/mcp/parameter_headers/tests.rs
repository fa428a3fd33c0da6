use http::HeaderValue;
use serde_json::json;

use super::*;

fn read(schema: &Value) -> Result<ParameterHeaders, ParameterHeaderFlaw> {
    ParameterHeaders::of_tool(&json!({ "name": "a", "inputSchema": schema }).to_string())
}

fn names(schema: &Value) -> Vec<String> {
    let mut names: Vec<_> = read(schema).unwrap().0.iter().map(|it| it.name.to_string()).collect();
    names.sort();
    names
}

#[test]
fn what_may_be_mirrored_is_found_wherever_properties_alone_lead() {
    let all = json!({ "type": "object", "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" },
        "deep": { "type": "object", "properties": { "er": { "type": "integer", "x-mcp-header": "X!#$%&'*+-.^_`|~9" } } },
        "flag": { "type": ["null", "boolean"], "x-mcp-header": "flag" },
        "plain": { "type": "number" },
    } });
    assert_eq!(names(&all), ["mcp-param-flag", "mcp-param-region", "mcp-param-x!#$%&'*+-.^_`|~9"]);
    for nothing in [
        json!({ "type": "object" }),
        json!(true),
        // The name of a property, and values.
        json!({ "properties": { "x-mcp-header": { "type": "number" } } }),
        json!({ "$defs": { "x-mcp-header": { "type": "number" } } }),
        json!({ "properties": { "a": { "default": { "x-mcp-header": "" }, "examples": [{ "x-mcp-header": 1 }] } } }),
    ] {
        assert!(names(&nothing).is_empty(), "{nothing}");
    }
    let elsewhere = json!({ "name": "a", "description": "\"x-mcp-header\": \"\"", "outputSchema": { "x-mcp-header": "" } });
    assert_eq!(ParameterHeaders::of_tool(&elsewhere.to_string()), Ok(ParameterHeaders::default()));
}

fn named(name: &Value) -> Value {
    json!({ "properties": { "a": { "type": "string", "x-mcp-header": name } } })
}

#[test]
fn a_name_is_one_that_a_header_may_have() {
    use ParameterHeaderFlaw::{Forbidden, NoName};
    let mut cases = vec![
        (named(&json!(null)), NoName),
        (named(&json!(7)), NoName),
        (named(&json!("x".repeat(LONGEST + 1))), NoName),
    ];
    for name in
        ["", " ", "a b", "a:b", "a\r\nb", "a\0", "caf\u{e9}", "a/b", "(a)", "a,b", "\"a\"", "a@b", "a\u{7f}"]
    {
        cases.push((named(&json!(name)), NoName));
    }
    for name in
        ["Authorization", "HOST", "cookie", "Set-Cookie", "Proxy-Authorization", "DPoP", "Content-Length"]
    {
        cases.push((named(&json!(name)), Forbidden));
    }
    for name in ["Connection", "TE", "trailer", "Upgrade", "Keep-Alive", "Proxy-Connection", "Expect"] {
        cases.push((named(&json!(name)), Forbidden));
    }
    for (schema, flaw) in cases {
        assert_eq!(read(&schema), Err(flaw), "{schema}");
    }
}

#[test]
fn a_tool_is_refused_for_each_annotation_that_is_against_the_rules() {
    use ParameterHeaderFlaw::{Misplaced, NotPrimitive, Repeated, TooMany};
    let kind = |kind: Value| json!({ "properties": { "a": { "type": kind, "x-mcp-header": "A" } } });
    let good = json!({ "type": "string", "x-mcp-header": "A" });
    let inside = |schema: Value| json!({ "properties": { "outer": schema } });
    let many: Map<String, Value> = (0..=MOST)
        .map(|n| (n.to_string(), json!({ "type": "string", "x-mcp-header": n.to_string() })))
        .collect();
    let mut cases = vec![
        (json!({ "properties": { "a": { "x-mcp-header": "A" } } }), NotPrimitive),
        (json!({ "type": "string", "x-mcp-header": "A" }), Misplaced),
        (json!({ "properties": many }), TooMany),
        (json!({ "properties": { "a": good, "b": { "type": "string", "x-mcp-header": "a" } } }), Repeated),
        (json!({ "properties": { "a": good, "b": { "properties": { "c": good } } } }), Repeated),
    ];
    for not in [
        json!("number"),
        json!("object"),
        json!("array"),
        json!("null"),
        json!("String"),
        json!(["string", "integer"]),
        json!([]),
        json!(7),
    ] {
        cases.push((kind(not), NotPrimitive));
    }
    for keyword in [
        "items",
        "additionalProperties",
        "not",
        "if",
        "then",
        "else",
        "contains",
        "propertyNames",
        "x-of-a-vendor",
    ] {
        cases.push((inside(json!({ keyword: { "properties": { "a": good } } })), Misplaced));
        cases.push((json!({ keyword: good }), Misplaced));
    }
    for keyword in ["oneOf", "anyOf", "allOf", "prefixItems", "items"] {
        cases.push((inside(json!({ keyword: [true, { "properties": { "a": good } }] })), Misplaced));
    }
    for keyword in ["$defs", "definitions", "patternProperties", "dependentSchemas", "dependencies"] {
        cases.push((json!({ keyword: { "any": good } }), Misplaced));
    }
    for (schema, flaw) in cases {
        assert_eq!(read(&schema), Err(flaw), "{schema}");
    }
}

#[test]
fn an_annotation_in_another_spelling_or_in_a_text_with_two_readings_is_not_overlooked() {
    let tool = r#"{"name":"a","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"Host"}}}}"#;
    assert_eq!(ParameterHeaders::of_tool(tool), Err(ParameterHeaderFlaw::Forbidden));
    for escaped in ["x\\u002dmcp-header", "\\u0078-mcp-header", "x-mcp-he\\u0061der"] {
        let tool = tool.replace("x-mcp-header", escaped);
        assert_eq!(ParameterHeaders::of_tool(&tool), Err(ParameterHeaderFlaw::Forbidden), "{tool}");
    }
    let twice = tool.replace(r#""type""#, r#""x-mcp-header":"A","type""#);
    let deep = tool.replace(r#"{"type""#, &format!(r#"{{"z":{}1{},"type""#, "[".repeat(50), "]".repeat(50)));
    for odd in [&twice, &deep] {
        assert_eq!(ParameterHeaders::of_tool(odd), Err(ParameterHeaderFlaw::Unreadable), "{odd}");
    }
}

fn mirrors(schema: &Value, headers: &[(&'static str, &str)], arguments: &str) -> bool {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let arguments = (!arguments.is_empty()).then_some(arguments);
    read(schema).unwrap().compare(&map, arguments).is_ok()
}

#[test]
fn a_header_stands_if_and_only_if_its_argument_does_and_says_the_same() {
    let schema = json!({ "properties": { "a": { "type": "string", "x-mcp-header": "A" } } });
    const A: &str = "mcp-param-a";
    for (header, arguments, expected) in [
        (None, "", true),
        (None, "{}", true),
        (None, r#"{"a":null,"b":1}"#, true),
        (None, r#"{"a":""}"#, false),
        (None, r#"{"a":"us"}"#, false),
        (Some("us"), r#"{"a":"us"}"#, true),
        (Some(" us "), r#"{"a":"us"}"#, true),
        (Some(""), r#"{"a":""}"#, true),
        (Some("us"), r#"{"a":"\u0075s"}"#, true),
        (Some("us"), r#"{"a":"Us"}"#, false),
        (Some("us"), "", false),
        (Some("us"), "{}", false),
        (Some("null"), r#"{"a":null}"#, false),
        (Some("us"), r#"{"a":"eu"}"#, false),
        (Some("us"), r#"{"a":"eu","a":"us"}"#, false),
        (Some("us"), r#"{"a":"us","A":"eu"}"#, false),
        (Some("us"), r#"["us"]"#, false),
        (Some("us"), r#"{"a":["us"]}"#, false),
        (Some("=?base64?dXM=?="), r#"{"a":"us"}"#, true),
        (Some("=?base64?w6k=?="), "{\"a\":\"\u{e9}\"}", true),
        (Some("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="), r#"{"a":"=?base64?literal?="}"#, true),
        (Some("=?base64?literal?="), r#"{"a":"=?base64?literal?="}"#, false),
        (Some("=?base64?dXM?="), r#"{"a":"us"}"#, false),
        (Some("=?base64?dX!M?="), r#"{"a":"us"}"#, false),
        (Some("=?base64?/w==?="), "{\"a\":\"\u{fffd}\"}", false),
        (Some("=?BASE64?dXM=?="), r#"{"a":"us"}"#, false),
        (Some("=?base64?dXM="), r#"{"a":"=?base64?dXM="}"#, true),
        (Some("true"), r#"{"a":true}"#, true),
        (Some("True"), r#"{"a":true}"#, false),
        (Some("true"), r#"{"a":false}"#, false),
    ] {
        let headers: Vec<_> = header.map(|value| (A, value)).into_iter().collect();
        assert_eq!(mirrors(&schema, &headers, arguments), expected, "{header:?} {arguments}");
    }
    assert!(!mirrors(&schema, &[(A, "us"), (A, "us")], r#"{"a":"us"}"#));
    assert!(
        mirrors(&schema, &[("mcp-param-b", "us")], r#"{"b":"eu"}"#),
        "what nothing names is not looked at"
    );
}

#[test]
fn integers_are_the_same_number_however_they_are_written() {
    let schema = json!({ "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } });
    for (header, argument, expected) in [
        ("42", "42", true),
        ("42.0", "42", true),
        ("42", "42.00", true),
        ("42", "4.2e1", true),
        ("42", "420E-1", true),
        ("-7", "-7", true),
        ("0", "-0.0", true),
        ("9007199254740991", "9007199254740991", true),
        ("-9007199254740991", "-9007199254740991", true),
        // Two numbers that one double is, and one beyond what is safe.
        ("9007199254740993", "9007199254740993", false),
        ("9007199254740992", "9007199254740992", false),
        ("1e400", "1e400", false),
        ("1e99999999999999999999", "1e99999999999999999999", false),
        ("42", "42.0000000000000000001", false),
        ("1.5", "1.5", false),
        ("042", "42", false),
        ("+42", "42", false),
        ("0x2a", "42", false),
        ("42.", "42", false),
        ("", "0", false),
        ("42", "43", false),
        ("42", "-42", false),
        ("42", "\"42\"", true),
        ("42.0", "\"42\"", false),
    ] {
        let arguments = format!(r#"{{"n":{argument}}}"#);
        assert_eq!(mirrors(&schema, &[("mcp-param-n", header)], &arguments), expected, "{header} {argument}");
    }
}

#[test]
fn arguments_are_found_where_properties_lead_and_nowhere_else() {
    let schema = json!({ "properties": {
        "at": { "properties": { "x": { "type": "string", "x-mcp-header": "X" }, "y": { "type": "string", "x-mcp-header": "Y" } } },
        "same": { "type": "string", "x-mcp-header": "Same" },
        "Same": { "type": "string" },
    } });
    let both = [("mcp-param-x", "1"), ("mcp-param-y", "2")];
    for (arguments, expected) in [
        (r#"{"at":{"x":"1","y":"2"}}"#, true),
        (r#"{"at":{"y":"2","x":"1"},"Same":"another property"}"#, true),
        (r#"{"at":{"x":"1"}}"#, false),
        (r#"{"at":{"x":"1","y":"2"},"at":{}}"#, false),
        (r#"{"at":{"x":"1","y":"2"},"AT":{}}"#, false),
        (r#"{"x":"1","y":"2"}"#, false),
        (r#"{"at":[{"x":"1","y":"2"}]}"#, false),
        (r#"{"at":{"x":"1","y":"2"},"same":"3"}"#, false),
    ] {
        assert_eq!(mirrors(&schema, &both, arguments), expected, "{arguments}");
    }
    assert!(mirrors(&schema, &[], r#"{"at":"no object"}"#));
}

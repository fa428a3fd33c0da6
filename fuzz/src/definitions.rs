//! Definitions of tools, in any shape: what is remembered of one is what any reader reads of it.

use resource_server::definitions::{ArgumentSchema, Definition, changes, findings};

/// The bytes are the text of a definition, and arguments of the tool that it defines.
pub(crate) fn definitions(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(read) = Definition::read(text) else { return };
    let value = read.value();
    let other: Result<serde_json::Value, _> = serde_json::from_str(text);
    assert!(other.is_ok_and(|other| other == value), "another reader reads the same");
    if let Ok(again) = Definition::read(&value.to_string()) {
        assert_eq!(again.fingerprint(), read.fingerprint(), "the same said otherwise");
        assert!(changes(&read, &again).is_empty());
    }
    assert!(findings(&read).len() <= 32);
    if let Ok(schema) = ArgumentSchema::of(&value) {
        for arguments in [None, Some(""), Some("{}"), Some(text)] {
            let _ = schema.check(arguments);
        }
    }
}

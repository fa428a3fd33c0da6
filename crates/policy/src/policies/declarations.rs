//! `arguments.cedarschema`: the arguments that policies may look at, declared by the operator as one Cedar type.
//!
//! ```text
//! type Arguments = { amount?: Long, path?: String };
//! ```
//!
//! An argument that arrives as something else than was declared cannot be judged, which goes against the caller. Must
//! never let the file declare anything but types: what can be asked is ours.

use cedar_policy::{Schema, SchemaFragment};
use serde_json::Value;

use super::arguments::Names;
use super::attributes;
use super::library::PolicyFile;
use super::mistake::Mistake;
use super::typed::Typed;

/// The name of the file.
pub(super) const FILE: &str = "arguments.cedarschema";
/// Without the file no argument can be looked at.
const NONE: &str = "type Arguments = {};";
const OURS: &str = include_str!("../schema.cedarschema");

/// The whole schema, and the names of the arguments.
#[derive(Debug)]
pub(super) struct Declarations {
    pub(super) schema: Schema,
    pub(super) names: Names,
    pub(super) typed: Typed,
}

pub(super) fn read(files: &[PolicyFile]) -> Result<Declarations, Vec<Mistake>> {
    let text = files.iter().find(|file| file.name == FILE).map_or(NONE, |file| &file.text);
    let mistake = |problem: String| vec![Mistake::new(FILE, 1, problem)];
    let fragment = |text| match SchemaFragment::from_cedarschema_str(text) {
        Ok((fragment, _)) => Ok(fragment),
        Err(error) => Err(vec![Mistake::said(FILE, text, 1, &error)]),
    };
    let theirs = fragment(text)?;
    let json = theirs.clone().to_json_value().map_err(|error| mistake(error.to_string()))?;
    let names = judge(&json).map_err(mistake)?;
    let repeated = attributes::repeated(FILE, text);
    if !repeated.is_empty() {
        return Err(repeated);
    }
    let schema = Schema::from_schema_fragments([fragment(OURS)?, theirs]);
    let schema = schema.map_err(|error| mistake(error.to_string()))?;
    // Not before the schema was made: that refuses a type that is in itself.
    let typed = json.get("").map_or(Typed::Elsewhere, Typed::arguments);
    Ok(Declarations { schema, names, typed })
}

/// The names of the arguments, if types are all that is declared, and no argument is demanded.
fn judge(json: &Value) -> Result<Names, String> {
    let spaces = json.as_object().map(|spaces| spaces.keys().map(String::as_str).collect::<Vec<_>>());
    let types = json.get("").unwrap_or(&Value::Null);
    let holds = |key: &str| types.get(key).and_then(Value::as_object).is_some_and(|held| !held.is_empty());
    if spaces.as_deref() != Some(&[""]) || holds("entityTypes") || holds("actions") {
        return Err(
            "declares more than types; only `type Arguments = { … };` and types for it can be declared"
                .to_owned(),
        );
    }
    let Some(attributes) = types.pointer("/commonTypes/Arguments/attributes").and_then(Value::as_object)
    else {
        return Err("does not declare `type Arguments = { … };`".to_owned());
    };
    if let Some((name, _)) =
        attributes.iter().find(|(_, attribute)| attribute.get("required") != Some(&Value::Bool(false)))
    {
        return Err(format!("a call may come without any argument: write `{name}?`"));
    }
    Ok(attributes.keys().cloned().collect())
}

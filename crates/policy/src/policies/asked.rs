//! A question in the words of the schema: principal, action, resource, context, and the entities behind them.
//!
//! Made of what was verified, and of nothing else; of the context only what a policy looks at.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression, Schema};
use serde_json::{Value, json};

use super::action::{Action, Names, uid};
use super::reads::Reads;
use crate::{Around, Person};

/// One question to the policies of an MCP server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) action: Action,
    /// The tool, prompt or resource; empty where the MCP server itself is acted on.
    pub(crate) name: &'a str,
    pub(crate) method: &'a str,
    pub(crate) person: &'a Person<'a>,
    pub(crate) read_only: bool,
    /// Nothing of it can be read where it is not known: at `connect`.
    pub(crate) around: Option<Around<'a>>,
    /// Their text; `None` if there are none.
    pub(crate) arguments: Option<&'a str>,
    /// Whether it is asked for a list: then the arguments are not known yet.
    pub(crate) listing: bool,
}

impl<'a> Asked<'a> {
    /// May this person be connected at all?
    pub(crate) const fn to_connect(person: &'a Person<'a>) -> Self {
        let (action, name, method, arguments) = (Action::Connect, "", "", None);
        Self { action, name, method, person, read_only: false, around: None, arguments, listing: false }
    }
}

/// The question could not be put: nobody is let in by that.
#[derive(Debug)]
pub(super) struct Unasked;

/// Puts the question.
pub(super) fn put(
    asked: &Asked<'_>,
    server: &str,
    names: &Names,
    context: Context,
) -> Result<(Request, Entities), Unasked> {
    let principal = principal(asked.person, names)?;
    let acted_on = acted_on(asked, server, names)?;
    let request = Request::new(principal.uid(), names.action(asked.action), acted_on.uid(), context, None);
    let entities = Entities::from_entities([principal, acted_on], None);
    Ok((request.map_err(|_| Unasked)?, entities.map_err(|_| Unasked)?))
}

fn principal(person: &Person<'_>, names: &Names) -> Result<Entity, Unasked> {
    if let Some(name) = person.service_account {
        return Ok(Entity::new_no_attrs(uid(&names.service_account, name), HashSet::new()));
    }
    let groups = person.groups.iter().map(|group| uid(&names.group, group)).collect();
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let attributes: HashMap<_, _> =
        person.email.map(|email| ("email".to_owned(), text(email))).into_iter().collect();
    Entity::new(uid(&names.user, &person.user.to_string()), attributes, groups).map_err(|_| Unasked)
}

fn acted_on(asked: &Asked<'_>, server: &str, names: &Names) -> Result<Entity, Unasked> {
    let behind = uid(&names.mcp_server, server);
    let attribute = match asked.action {
        Action::Connect | Action::List | Action::Other => {
            return Ok(Entity::new_no_attrs(behind, HashSet::new()));
        }
        Action::Call | Action::Get => "name",
        Action::Read => "uri",
    };
    let name = RestrictedExpression::new_string(asked.name.to_owned());
    let id: EntityUid = uid(names.acted_on(asked.action), &format!("{server}/{}", asked.name));
    Entity::new(id, HashMap::from([(attribute.to_owned(), name)]), HashSet::from([behind]))
        .map_err(|_| Unasked)
}

/// The context, as far as it is looked at. Without arguments.
pub(super) fn context(asked: &Asked<'_>, reads: Reads, names: &Names) -> Result<Context, Unasked> {
    let Some(around) = &asked.around else { return Ok(Context::empty()) };
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let mut pairs = vec![("method".to_owned(), text(asked.method))];
    if reads.address {
        pairs.push(("address".to_owned(), RestrictedExpression::new_ip(address(around))));
    }
    if reads.client {
        let client = RestrictedExpression::new_entity_uid(uid(&names.client, around.client));
        pairs.push(("client".to_owned(), client));
    }
    if reads.scopes {
        let scopes = around.scope.iter().map(|token| text(token.as_str()));
        pairs.push(("scopes".to_owned(), RestrictedExpression::new_set(scopes)));
    }
    if reads.time {
        pairs.push(("time".to_owned(), RestrictedExpression::new_datetime(time(around)?)));
    }
    if asked.action == Action::Call {
        pairs.push(("readOnly".to_owned(), RestrictedExpression::new_bool(asked.read_only)));
        let none: [(String, RestrictedExpression); 0] = [];
        let none = RestrictedExpression::new_record(none).map_err(|_| Unasked)?;
        pairs.push(("arguments".to_owned(), none));
    }
    Context::from_pairs(pairs).map_err(|_| Unasked)
}

/// The context with arguments, which must be what the schema says they are.
pub(super) fn context_with(
    asked: &Asked<'_>,
    arguments: Value,
    schema: &Schema,
    action: &EntityUid,
) -> Result<Context, Unasked> {
    let around = asked.around.as_ref().ok_or(Unasked)?;
    let scopes: Vec<&str> = around.scope.iter().map(|token| token.as_str()).collect();
    let whole = json!({
        "address": { "__extn": { "fn": "ip", "arg": address(around) } },
        "arguments": arguments,
        "client": { "__entity": { "type": "Client", "id": around.client } },
        "method": asked.method,
        "readOnly": asked.read_only,
        "scopes": scopes,
        "time": { "__extn": { "fn": "datetime", "arg": time(around)? } },
    });
    Context::from_json_value(whole, Some((schema, action))).map_err(|_| Unasked)
}

fn address(around: &Around<'_>) -> String {
    around.address.to_canonical().to_string()
}

/// RFC 3339 with milliseconds, which is what Cedar reads.
fn time(around: &Around<'_>) -> Result<String, Unasked> {
    let now = jiff::Timestamp::from_microsecond(around.now.micros()).map_err(|_| Unasked)?;
    Ok(now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

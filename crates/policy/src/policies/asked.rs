//! A question in the words of the schema: principal, action, resource, context, and the entities behind them.
//!
//! Made of what was verified, and of nothing else; and only of what a policy looks at.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression};
use serde_json::{Value, json};

use super::action::{Action, Names, uid};
use super::common::{Common, second_text};
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

/// Who asks, what is asked for, and what is known of both.
#[derive(Debug)]
pub(super) struct Ground {
    principal: EntityUid,
    acted_on: EntityUid,
    pub(super) entities: Entities,
}

impl Ground {
    /// As far as it is looked at.
    pub(super) fn of(asked: &Asked<'_>, server: &str, reads: Reads, names: &Names) -> Result<Self, Unasked> {
        let mut known = Vec::new();
        let principal = if reads.principal {
            let entity = principal(asked.person, names)?;
            let id = entity.uid();
            known.push(entity);
            id
        } else {
            uid(&names.user, "")
        };
        let acted_on = if reads.resource {
            let entity = acted_on(asked, server, names)?;
            let id = entity.uid();
            known.push(entity);
            id
        } else {
            uid(names.acted_on(asked.action), "")
        };
        let entities = Entities::from_entities(known, None).map_err(|_| Unasked)?;
        Ok(Self { principal, acted_on, entities })
    }

    /// Puts the question. What it is made of was held against the schema, or is of types that the schema demands.
    pub(super) fn put(&self, action: EntityUid, context: Context) -> Result<Request, Unasked> {
        let (principal, acted_on) = (self.principal.clone(), self.acted_on.clone());
        Request::new(principal, action, acted_on, context, None).map_err(|_| Unasked)
    }
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

/// The context, as far as it is looked at.
pub(super) fn context(
    asked: &Asked<'_>,
    arguments: Option<RestrictedExpression>,
    reads: Reads,
    common: &Common,
) -> Result<Context, Unasked> {
    let Some(around) = &asked.around else { return Ok(Context::empty()) };
    if arguments.is_none() && reads.only_time() {
        return Ok(common.second(around.now)?.alone);
    }
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let mut pairs = Vec::with_capacity(8);
    pairs.extend(arguments.map(|arguments| ("arguments".to_owned(), arguments)));
    if reads.address {
        pairs.push(("address".to_owned(), common.address(around.address)));
    }
    if reads.client {
        let client = RestrictedExpression::new_entity_uid(uid(&common.names.client, around.client));
        pairs.push(("client".to_owned(), client));
    }
    if reads.method {
        pairs.push(("method".to_owned(), text(asked.method)));
    }
    if reads.read_only && asked.action == Action::Call {
        pairs.push(("readOnly".to_owned(), RestrictedExpression::new_bool(asked.read_only)));
    }
    if reads.scopes {
        let scopes = around.scope.iter().map(|token| text(token.as_str()));
        pairs.push(("scopes".to_owned(), RestrictedExpression::new_set(scopes)));
    }
    if reads.time {
        pairs.push(("time".to_owned(), common.second(around.now)?.time));
    }
    if pairs.is_empty() { Ok(Context::empty()) } else { Context::from_pairs(pairs).map_err(|_| Unasked) }
}

/// The context of a call with arguments that only the schema can tell.
pub(super) fn context_by_schema(
    asked: &Asked<'_>,
    arguments: Value,
    common: &Common,
) -> Result<Context, Unasked> {
    let around = asked.around.as_ref().ok_or(Unasked)?;
    let scopes: Vec<&str> = around.scope.iter().map(|token| token.as_str()).collect();
    let address = around.address.to_canonical().to_string();
    let whole = json!({
        "address": { "__extn": { "fn": "ip", "arg": address } },
        "arguments": arguments,
        "client": { "__entity": { "type": "Client", "id": around.client } },
        "method": asked.method,
        "readOnly": asked.read_only,
        "scopes": scopes,
        "time": { "__extn": { "fn": "datetime", "arg": second_text(around.now)? } },
    });
    let action = common.names.action(asked.action);
    let context = Context::from_json_value(whole, Some((&common.schema, &action))).map_err(|_| Unasked)?;
    // Reading looks at types only as far as it needs them: `"5"` would be a number that is not 5.
    context.validate(&common.schema, &action).map_err(|_| Unasked)?;
    Ok(context)
}

//! The attack catalogue: one module per section, each test named by the row it sends.

mod authorize;
mod bad_tokens;
mod bounds;
mod callback;
mod cimd;
mod consent;
mod discovery;
mod dpop;
mod floods;
mod headers;
mod introspect;
mod keys;
mod lists;
mod messages;
mod oracle;
mod par;
mod people;
mod proxy;
mod register;
mod revoke;
mod scene;
mod session;
mod smuggling;
mod storage;
mod token;
mod tools;

//! The main path, and what people meet on it.

mod audit;
mod bound;
mod clients;
mod connections;
mod credentials;
mod cross_app_access;
mod device;
mod documents;
mod exchange;
mod guard;
mod identity_providers;
mod laptop;
mod limits;
mod linked_people;
mod machines;
mod main_path;
mod message_signatures;
mod nodes;
mod partial_grants;
mod people;
mod permits;
mod race;
mod registrations;
mod remote_servers;
mod restart;
mod review_as;
mod review_gateway;
mod scopes;
mod sign_ins;
mod signals;
mod stops;
mod streams;
mod traces;
mod who_is_calling;
mod workloads;

pub(crate) use machines::machine;

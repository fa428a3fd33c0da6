//! The consent page (attacks.md, 1.6).

mod cookies;
mod facts;
mod form;
mod people;
mod remembered;
mod tabs;

//! The vault: by what an MCP server is asked in the name of a person (product.md, P-14 and P-15).

pub(crate) mod credential;

//! `ledger`: a small account book, for the group `finance` only.

use std::sync::{Arc, Mutex};

use http::request::Parts;
use rmcp::handler::server::common::Extension;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig};
use rmcp::{ErrorData, ServerHandler, schemars, tool, tool_handler, tool_router};

use super::identity::{CallerReader, display_name};
use super::notes::poisoned;

const MOST_ENTRIES: usize = 200;

/// One entry: who booked what.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    who: String,
    purpose: String,
    cents: i64,
}

/// The entries, oldest first.
pub(super) type Book = Arc<Mutex<Vec<Entry>>>;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct NewEntry {
    #[schemars(description = "what the money was for, at most 100 characters")]
    purpose: String,
    #[schemars(description = "the amount in cents; negative for money spent")]
    cents: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Ledger {
    book: Book,
    caller: CallerReader,
    #[expect(dead_code, reason = "read by the code that the tool_handler macro writes")]
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Ledger {
    pub(super) fn new(book: Book, caller: CallerReader) -> Self {
        Self { book, caller, tool_router: Self::tool_router() }
    }

    #[tool(
        description = "Show the entries and the balance",
        annotations(title = "Show the ledger", read_only_hint = true)
    )]
    fn show_ledger(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        self.caller.read(&parts)?;
        let book = self.book.lock().map_err(|_| poisoned())?;
        let balance: i64 = book.iter().fold(0, |sum, entry| sum.saturating_add(entry.cents));
        let mut lines: Vec<String> = book
            .iter()
            .map(|entry| format!("{:>12} {} ({})", money(entry.cents), entry.purpose, entry.who))
            .collect();
        lines.push(format!("{:>12} balance", money(balance)));
        Ok(lines.join("\n"))
    }

    #[tool(
        description = "Book an amount",
        annotations(title = "Book an entry", read_only_hint = false, destructive_hint = false)
    )]
    fn book_entry(
        &self,
        Parameters(NewEntry { purpose, cents }): Parameters<NewEntry>,
        Extension(parts): Extension<Parts>,
    ) -> Result<String, ErrorData> {
        let caller = self.caller.read(&parts)?;
        if purpose.trim().is_empty() || purpose.chars().count() > 100 {
            return Err(ErrorData::invalid_params("a purpose has 1 to 100 characters", None));
        }
        let entry =
            Entry { who: display_name(&caller), purpose: purpose.replace(char::is_control, " "), cents };
        let mut book = self.book.lock().map_err(|_| poisoned())?;
        if book.len() >= MOST_ENTRIES {
            book.remove(0);
        }
        anstream::eprintln!("ledger  {} booked {} for {}", entry.who, money(entry.cents), entry.purpose);
        book.push(entry);
        Ok(format!("Booked. The ledger has {} entries.", book.len()))
    }
}

#[tool_handler]
impl ServerHandler for Ledger {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("sekisho-demo-ledger", env!("CARGO_PKG_VERSION")))
            .with_instructions("A small account book")
    }
}

fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let whole = cents.unsigned_abs();
    format!("{sign}{}.{:02}", whole / 100, whole % 100)
}

//! Properties of the words: each holds for every input, not for an example.
#![expect(clippy::expect_used, reason = "a helper of a test may fail the test")]

mod counting;
mod ids;
mod mcp;
#[cfg(test)]
mod oauth;
mod sealing;
mod tokens;

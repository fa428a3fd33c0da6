//! The acceptance tests are in `acceptance.rs`; this library is empty.

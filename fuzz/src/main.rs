//! The coverage-guided runner: libFuzzer's `main` around the target that `FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use fuzz::Target;

#[expect(
    clippy::disallowed_methods,
    reason = "the command line belongs to libFuzzer; the target is named beside it"
)]
static TARGET: LazyLock<Option<Target>> =
    LazyLock::new(|| std::env::var("FUZZ_TARGET").ok().and_then(|name| fuzz::target(&name)));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = *TARGET;
    assert!(target.is_some(), "FUZZ_TARGET names no target");
    if let Some(target) = target {
        target(data);
    }
});

//! The values of `Mcp-Param-*` headers, held against the arguments that they mirror (MCP 2026-07-28, Streamable HTTP, "Value
//! Encoding" and "Server Validation"; requirements RS-100 to RS-104). Pure.
//!
//! A header stands if and only if its argument is there and not null. A text is the same text, a boolean is `true` or
//! `false`, and an integer is the same number within ±(2⁵³−1), however it is written: it is compared digit by digit, for a
//! double would take two numbers for one. What two readers could read in two ways mirrors nothing.
//! Must never say anything of a value.

use std::collections::HashMap;

use http::HeaderMap;
use serde_json::value::RawValue;

use super::super::keys::folds_to;
use super::super::members::Members;
use super::super::request_headers::{Sole, decode_name};
use super::{ParameterHeader, ParameterHeaders};

/// 2⁵³−1 (RS-106).
const LARGEST: u64 = (1 << 53) - 1;
/// Digits of what is not larger.
const DIGITS: i64 = 16;

/// A header and the argument that it mirrors differ, or one of them is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterMismatch;

impl ParameterHeaders {
    /// Holds the headers against the `arguments`, as they were written. Headers that nothing here names are not looked at
    /// (RS-163).
    ///
    /// # Errors
    /// [`ParameterMismatch`] if one of them does not mirror its argument (RS-100).
    pub fn compare(&self, headers: &HeaderMap, arguments: Option<&str>) -> Result<(), ParameterMismatch> {
        if self.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = self.0.iter().collect();
        level(&all, 0, arguments, headers)
    }
}

/// Compares all whose arguments lie in this object, which so many steps lead to.
fn level(
    all: &[&ParameterHeader],
    depth: usize,
    object: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), ParameterMismatch> {
    let members = match object.filter(|text| text.starts_with('{')) {
        Some(text) => Members::read(text).map_err(|_| ParameterMismatch)?.0,
        None => HashMap::new(),
    };
    let mut below: HashMap<&str, Vec<&ParameterHeader>> = HashMap::new();
    for header in all {
        let Some(step) = header.path.get(depth) else { continue };
        let is_odd = |key: &str| {
            key != step.property && folds_to(key, &step.property) && !step.alike.iter().any(|it| it == key)
        };
        if members.keys().any(|key| is_odd(key)) {
            return Err(ParameterMismatch);
        }
        if depth + 1 < header.path.len() {
            below.entry(&step.property).or_default().push(header);
        } else {
            let argument = members.get(step.property.as_str()).copied();
            compare(Sole::of(headers, &header.name), argument.map(RawValue::get))?;
        }
    }
    for (property, all) in below {
        level(&all, depth + 1, members.get(property).map(|inner| inner.get()), headers)?;
    }
    Ok(())
}

fn compare(header: Sole<'_>, argument: Option<&str>) -> Result<(), ParameterMismatch> {
    let mirrors = match (header, argument.filter(|argument| *argument != "null")) {
        (Sole::Absent, None) => true,
        (Sole::Once(value), Some(argument)) => {
            decode_name(value).is_some_and(|value| is_same(&value, argument))
        }
        (Sole::Absent | Sole::Unclear, Some(_)) | (Sole::Once(_) | Sole::Unclear, None) => false,
    };
    if mirrors { Ok(()) } else { Err(ParameterMismatch) }
}

/// Whether a header says what the JSON text of an argument says. Whether the argument is of the type that it should be is
/// the MCP server's business.
fn is_same(header: &str, argument: &str) -> bool {
    match argument.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(argument).is_ok_and(|text| text == header),
        Some(b't' | b'f') => header == argument,
        Some(b'-' | b'0'..=b'9') => integer(header).is_some_and(|number| integer(argument) == Some(number)),
        _ => false,
    }
}

/// The integer that a JSON number is (RFC 8259, section 6), exactly; none if it is no integer, or beyond the safe range.
fn integer(text: &str) -> Option<i64> {
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, power(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        parts => parts.unwrap_or((mantissa, "")),
    };
    let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || has_leading_zero || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let behind = i64::try_from(fraction.len()).ok()?;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = u32::try_from(exponent + zeros - behind).ok()?;
    if i64::try_from(significant.len()).ok()? + i64::from(zeros) > DIGITS {
        return None;
    }
    let number = significant.parse::<u64>().ok()?.checked_mul(10_u64.checked_pow(zeros)?)?;
    let number = i64::try_from(number).ok().filter(|_| number <= LARGEST)?;
    Some(if is_negative { -number } else { number })
}

/// The exponent; of more digits than any that leads back to a safe integer of a text that a request can hold there is none.
fn power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !(1..=9).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

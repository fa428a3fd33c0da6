//! From one TOML value to one setting. Each function refuses with a sentence that names no value.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use toml::de::DeValue;
use url::Url;

/// Any text without control characters.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    let text = value.as_str().ok_or("is not a text in quotes")?;
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    Ok(text.to_owned())
}

/// A list of texts.
pub(super) fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    list(value, text)
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "is neither true nor false".to_owned())
}

/// A whole number from `LEAST` to `MOST`.
pub(super) fn number<const LEAST: u64, const MOST: u64>(value: &DeValue<'_>) -> Result<u64, String> {
    let number = value
        .as_integer()
        .and_then(|digits| u64::from_str_radix(&digits.as_str().replace('_', ""), digits.radix()).ok())
        .ok_or("is not a whole number")?;
    if (LEAST..=MOST).contains(&number) { Ok(number) } else { Err("is out of range".to_owned()) }
}

/// A time such as `30s`, `10m`, `12h` or `30d`, from `LEAST` to `MOST` seconds.
pub(super) fn duration<const LEAST: u64, const MOST: u64>(value: &DeValue<'_>) -> Result<Duration, String> {
    let written = value.as_str().ok_or("is not a time in quotes, such as \"10m\"")?;
    let seconds = seconds(written).ok_or("is not a number followed by s, m, h or d")?;
    if (LEAST..=MOST).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err("is out of range".to_owned())
    }
}

/// A time as above, or `off`.
pub(super) fn duration_or_off<const LEAST: u64, const MOST: u64>(
    value: &DeValue<'_>,
) -> Result<Option<Duration>, String> {
    if value.as_str() == Some("off") { Ok(None) } else { duration::<LEAST, MOST>(value).map(Some) }
}

/// The seconds of a time such as `10m`.
pub(super) fn seconds(written: &str) -> Option<u64> {
    let unit = written.chars().last()?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = written.strip_suffix(unit)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(each)
}

/// Addresses to listen on.
pub(super) fn addresses(value: &DeValue<'_>) -> Result<Vec<SocketAddr>, String> {
    list(value, address)
}

/// One address to listen on.
pub(super) fn address(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    text(value)?.parse().map_err(|_| "is not an address and a port".to_owned())
}

/// Networks in CIDR notation.
pub(super) fn networks(value: &DeValue<'_>) -> Result<Vec<IpNet>, String> {
    list(value, |value| {
        text(value)?.parse().map(canonical).map_err(|_| "is not a network in CIDR notation".to_owned())
    })
}

/// Networks of IPv4 written as those of IPv6 (RFC 4291, section 2.5.5.2) are what they mean: addresses are compared so.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    let v4 = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    v4.map_or(network, IpNet::V4)
}

/// The public URL: an origin and nothing else (product decision: no path, query, fragment or final `/`).
pub(super) fn public_url(value: &DeValue<'_>) -> Result<String, String> {
    let written = text(value)?;
    let url = Url::parse(&written).map_err(|_| "is not a URL")?;
    let plain_http = url.scheme() == "http";
    if !(url.scheme() == "https" || (plain_http && is_loopback(&url))) {
        return Err("must be https; http is for a loopback host only".to_owned());
    }
    let origin = url.origin().ascii_serialization();
    // What the front doors would refuse is told here, with its line.
    written.parse::<web::PublicUrl>().map_err(|error| error.to_string())?;
    if origin == written {
        Ok(written)
    } else {
        Err("must be scheme, host and, if it is not the usual one, port: nothing before, between or after"
            .to_owned())
    }
}

/// Origins of web pages, as browsers write them: compared byte for byte, so one that is written otherwise would match
/// nothing, without a word.
pub(super) fn origins(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    list(value, |value| {
        let written = text(value)?;
        let origin = Url::parse(&written).map(|url| url.origin());
        if origin.is_ok_and(|origin| origin.is_tuple() && origin.ascii_serialization() == written) {
            Ok(written)
        } else {
            Err("holds something that is not an origin as browsers write it".to_owned())
        }
    })
}

/// An http or https URL without user name, password and fragment.
pub(super) fn http_url(value: &DeValue<'_>) -> Result<Url, String> {
    let url = Url::parse(&text(value)?).map_err(|_| "is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("is not an http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment".to_owned());
    }
    Ok(url)
}

/// An issuer identifier, kept byte for byte: clients and tokens compare it so.
pub(super) fn issuer(value: &DeValue<'_>) -> Result<String, String> {
    let url = http_url(value)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err("must be https; http is for a loopback host only".to_owned());
    }
    if url.query().is_some() {
        return Err("must not have a query".to_owned());
    }
    text(value)
}

/// The name of an MCP server or of a group.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, String> {
    let name = text(value)?;
    if is_name(&name) { Ok(name) } else { Err("is not a name".to_owned()) }
}

/// `[a-z][a-z0-9-]{0,30}`.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 31
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// True for `localhost`, 127.0.0.0/8 and ::1.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(domain)) => domain == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What Sekisho is registered as at GitHub.
pub(super) fn github_app(value: &DeValue<'_>) -> Result<String, String> {
    word(value, &["github-app", "oauth-app"])
}

/// A product of Atlassian.
pub(super) fn atlassian_product(value: &DeValue<'_>) -> Result<String, String> {
    word(value, &["confluence", "jira"])
}

/// What a logout at the provider ends.
pub(super) fn on_logout(value: &DeValue<'_>) -> Result<String, String> {
    word(value, &["access", "session"])
}

fn word(value: &DeValue<'_>, words: &[&str]) -> Result<String, String> {
    let written = text(value)?;
    if words.contains(&written.as_str()) { Ok(written) } else { Err("is not one of the words".to_owned()) }
}

/// A host name, and nothing before or behind it.
pub(super) fn host(value: &DeValue<'_>) -> Result<String, String> {
    let host = text(value)?;
    let plain = Url::parse(&format!("https://{host}/"))
        .is_ok_and(|url| matches!(url.host(), Some(url::Host::Domain(name)) if name == host));
    if plain && host.contains('.') { Ok(host) } else { Err("is not a host name alone".to_owned()) }
}

/// Domains of e-mail addresses, in small letters.
pub(super) fn domains(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    list(value, |value| {
        let domain = text(value)?.to_ascii_lowercase();
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || !byte.is_ascii();
        if domain.bytes().all(plain) {
            Ok(domain)
        } else {
            Err("holds something that is not a domain".to_owned())
        }
    })
}

/// One part of the path of a URL.
pub(super) fn segment(value: &DeValue<'_>) -> Result<String, String> {
    let segment = text(value)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let dots = segment.bytes().all(|byte| byte == b'.');
    if segment.bytes().all(plain) && !dots {
        Ok(segment)
    } else {
        Err("cannot be part of a URL as it is".to_owned())
    }
}

/// A list of `NAME:ID`.
pub(super) fn named(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let named = list(value, |value| {
        let written = text(value)?;
        match written.split_once(':') {
            Some((name, id)) if !name.is_empty() && !id.is_empty() => Ok(written),
            Some(_) | None => Err("holds a name without its id behind a colon".to_owned()),
        }
    })?;
    if named.is_empty() {
        Err("names none: anybody with an account there could log in".to_owned())
    } else {
        Ok(named)
    }
}

/// The ids of tenants of Entra. `common`, `organizations`, `consumers` and domains are none.
pub(super) fn tenants(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let tenants = list(value, |value| {
        let written = text(value)?.to_ascii_lowercase();
        let lengths: Vec<usize> = written.split('-').map(str::len).collect();
        let hex = written.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        match (lengths.as_slice(), hex) {
            ([8, 4, 4, 4, 12], true) if written != "9188040d-6c67-4c5b-b112-36a304b66dad" => Ok(written),
            ([8, 4, 4, 4, 12], true) => {
                Err("holds the tenant of private accounts, which anybody can have".to_owned())
            }
            _ => Err("holds something that is not the id of a tenant".to_owned()),
        }
    })?;
    if tenants.is_empty() {
        Err("names none: anybody with an account there could log in".to_owned())
    } else {
        Ok(tenants)
    }
}

/// A list of values of one kind.
pub(super) fn list<T>(
    value: &DeValue<'_>,
    parse: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let entries = value.as_array().ok_or("is not a list")?;
    entries.iter().map(|entry| parse(entry.get_ref())).collect()
}

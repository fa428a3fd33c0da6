//! Whether `htu` names one of our URLs: "syntax-based normalization and scheme-based normalization" (RFC 9449, section 4.3;
//! RFC 3986, sections 6.2.2 and 6.2.3), "ignoring any query and fragment parts".
//!
//! What two readers could take for two URLs is none: user information, dot segments, backslashes, bytes that are not ASCII.

/// Whether the two name the same.
pub(super) fn is_same(ours: &str, theirs: &str) -> bool {
    // What nearly every client sends.
    if ours == theirs {
        return true;
    }
    normalized(theirs).is_some_and(|theirs| normalized(ours).is_some_and(|ours| ours == theirs))
}

fn normalized(url: &str) -> Option<String> {
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`');
    if !url.bytes().all(is_plain) {
        return None;
    }
    let url = url.split(['?', '#']).next()?;
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    if authority.is_empty() || authority.contains(['@', '%']) {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let (host, port) = host_and_port(&authority)?;
    let host =
        if port.is_none_or(|port| port.is_empty() || port == default_port) { host } else { &authority };
    Some(format!("{scheme}://{host}{}", normalized_path(path)?))
}

/// The two parts of "host [ ":" port ]" (RFC 3986, section 3.2): a colon is in brackets or before the port, and nowhere else.
fn host_and_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let end = match authority.strip_prefix('[') {
        Some(literal) => literal.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(end);
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = rest.strip_prefix(':')?;
    port.bytes().all(|byte| byte.is_ascii_digit()).then_some((host, Some(port)))
}

/// Unreserved characters decoded, the other escapes in capitals. A path with dot segments is none.
fn normalized_path(path: &str) -> Option<String> {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let (hex, after) = after.split_at_checked(2)?;
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        match u8::from_str_radix(hex, 16).ok()? {
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => {
                normal.push(char::from(byte));
            }
            _ => {
                normal.push('%');
                normal.push_str(&hex.to_ascii_uppercase());
            }
        }
        rest = after;
    }
    normal.push_str(rest);
    let has_dots = normal.split('/').any(|segment| segment == "." || segment == "..");
    (!has_dots).then_some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://mcp.example.com/notes/mcp";

    #[test]
    fn other_spellings_of_the_same_url_are_the_same() {
        for theirs in [
            OURS,
            "HTTPS://MCP.Example.COM/notes/mcp",
            "https://mcp.example.com:443/notes/mcp",
            "https://mcp.example.com:/notes/mcp",
            "https://mcp.example.com/%6eotes/m%63p",
            "https://mcp.example.com/notes/mcp?a=b",
            "https://mcp.example.com/notes/mcp#f",
        ] {
            assert!(is_same(OURS, theirs), "{theirs}");
        }
        assert!(is_same("http://localhost:8080/a/mcp", "http://LOCALHOST:8080/a/mcp"));
        assert!(is_same("http://[::1]:8080/a/mcp", "http://[::1]:8080/a/mcp?"));
        assert!(is_same("https://[2001:DB8::1]/a", "https://[2001:db8::1]:443/a"));
        assert!(is_same("https://h/%c3%a9", "https://h/%C3%A9"));
    }

    #[test]
    fn an_authority_with_two_ports_names_nothing() {
        for theirs in [
            "https://h:443:/a",
            "https://h::443/a",
            "https://h:443:443/a",
            "https://h:/:443/a",
            "https://:443/a",
        ] {
            assert!(!is_same("https://h/a", theirs), "{theirs}");
        }
        for theirs in
            ["http://[::1]:8080:/a", "http://[::1]:8080:80/a", "http://[::1]8080/a", "http://[::1:8080/a"]
        {
            assert!(!is_same("http://[::1]:8080/a", theirs), "{theirs}");
        }
    }

    #[test]
    fn another_url_is_another_however_it_is_written() {
        for theirs in [
            "",
            "/notes/mcp",
            "notes/mcp",
            "http://mcp.example.com/notes/mcp",
            "https://mcp.example.com:8443/notes/mcp",
            "https://mcp.example.com:0443/notes/mcp",
            "https://mcp.example.com.evil.example/notes/mcp",
            "https://mcp.example.com./notes/mcp",
            "https://evil@mcp.example.com/notes/mcp",
            "https://mcp.example.com:443@evil.example/notes/mcp",
            "https://evil.example/notes/mcp",
            "https://evil.example/?https://mcp.example.com/notes/mcp",
            "https://mcp.example.com/Notes/mcp",
            "https://mcp.example.com/notes/mcp/",
            "https://mcp.example.com//notes/mcp",
            "https://mcp.example.com/notes/../notes/mcp",
            "https://mcp.example.com/./notes/mcp",
            "https://mcp.example.com/x/%2e%2E/notes/mcp",
            "https://mcp.example.com/notes%2Fmcp",
            "https://mcp.example.com/notes/mcp%00",
            "https://mcp.example.com/notes/mcp%",
            "https://mcp.example.com/notes/mcp%2",
            "https://mcp.example.com/notes/mcp%+1",
            "https://mcp.example.com\\notes\\mcp",
            "https://mcp.example.com/notes/mcp ",
            " https://mcp.example.com/notes/mcp",
            "https://mcp.example.com/notes/m\u{441}p",
            "https:/mcp.example.com/notes/mcp",
            "https:mcp.example.com/notes/mcp",
            "https://mcp%2eexample.com/notes/mcp",
        ] {
            assert!(!is_same(OURS, theirs), "{theirs}");
        }
    }
}

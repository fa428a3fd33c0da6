use super::*;

fn policy() -> RedirectPolicy {
    RedirectPolicy {
        private_schemes: vec!["cursor".to_owned(), "com.example.app".to_owned(), "javascript".to_owned()],
        own_origins: vec!["https://mcp.example.com".to_owned(), "http://localhost:8080".to_owned()],
    }
}

fn parse(raw: &str) -> Result<RedirectUri, RedirectUriError> {
    RedirectUri::parse(raw, &policy())
}

fn destination(raw: &str) -> Destination {
    parse(raw).unwrap().destination().clone()
}

/// RFC 6749 4.1.1, RFC 8252 7.1 and 7.3.
#[test]
fn the_examples_of_the_standards_are_accepted() {
    assert_eq!(
        destination("https://client.example.com/cb"),
        Destination::Https("client.example.com".to_owned())
    );
    assert_eq!(
        destination("com.example.app:/oauth2redirect/example-provider"),
        Destination::PrivateScheme("com.example.app".to_owned())
    );
    let loopback = |host: &str| Destination::Loopback(host.to_owned());
    assert_eq!(destination("http://127.0.0.1:51004/oauth2redirect/example-provider"), loopback("127.0.0.1"));
    assert_eq!(destination("http://[::1]:61023/oauth2redirect/example-provider"), loopback("[::1]"));
    assert_eq!(destination("http://localhost"), loopback("localhost"));
    assert_eq!(
        destination("cursor://anysphere.cursor-mcp/oauth/callback?a=b"),
        Destination::PrivateScheme("cursor".to_owned())
    );
}

#[test]
fn https_to_this_machine_is_shown_as_this_machine() {
    for host in ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "app.localhost"] {
        let raw = format!("https://{host}:8443/cb");
        assert_eq!(destination(&raw), Destination::Loopback(host.to_owned()));
        assert!(
            !parse(&raw).unwrap().matches(&raw.replace("8443", "8444")),
            "the port is free over http only"
        );
    }
    assert_eq!(destination("https://EXAMPLE.com/"), Destination::Https("example.com".to_owned()));
}

/// RFC 8252, section 7.3; AZ-08.
///
/// AS-032.
#[test]
fn the_port_of_a_loopback_uri_is_free() {
    for host in LOOPBACK_HOSTS {
        for registered in ["", ":1", ":33418"] {
            let registered = parse(&format!("http://{host}{registered}/cb?x=1")).unwrap();
            for port in ["", ":1", ":80", ":51234", ":65535"] {
                assert!(registered.matches(&format!("http://{host}{port}/cb?x=1")));
            }
            for port in [":", ":0", ":080", ":65536", ":1x", ":-1", ":1:2", ":+1", ":\u{661}"] {
                assert!(!registered.matches(&format!("http://{host}{port}/cb?x=1")), "{port}");
            }
        }
    }
    assert!(parse("http://localhost").unwrap().matches("http://localhost:5000"));
    assert!(!parse("http://localhost").unwrap().matches("http://localhost:5000/"));
    assert!(!parse("https://client.example.com/cb").unwrap().matches("https://client.example.com:443/cb"));
}

/// AZ-03.
#[test]
fn one_byte_more_or_less_is_another_uri() {
    let registered = parse("https://good.example/cb?a=1&b=2").unwrap();
    assert!(registered.matches("https://good.example/cb?a=1&b=2"));
    for other in [
        "https://good.example/cb/?a=1&b=2",
        "https://good.example/cb",
        "https://good.example/cb?",
        "",
        "https://GOOD.example/cb?a=1&b=2",
        "https://good.example/CB?a=1&b=2",
        "https://good.example:443/cb?a=1&b=2",
        "https://good.example%2Fcb?a=1&b=2",
        "https://good.example/cb?a=1&b=2#",
        "https://good.example/cb?a=1&b=2&x=1",
        "https://good.example/cb?b=2&a=1",
        "https://good.example/x/../cb?a=1&b=2",
        "https://good.example/%63b?a=1&b=2",
        "https://good.example/cb/%2e%2e/evil",
        " https://good.example/cb?a=1&b=2",
        "https://good.example/cb?a=1&b=2 ",
        "HTTPS://good.example/cb?a=1&b=2",
        "http://good.example/cb?a=1&b=2",
    ] {
        assert!(!registered.matches(other), "{other}");
    }
}

/// AZ-04, AZ-05.
#[test]
fn authorities_that_only_look_alike_do_not_match() {
    let registered = parse("https://good.example/cb").unwrap();
    for other in [
        "https://good.example@evil/cb",
        "https://good.example%40evil/cb",
        "https://good.example\\@evil/cb",
        "https://good.example:443@evil/cb",
        "https://evil#@good.example/cb",
        "https://evil/?@good.example/cb",
        "https://good.example.evil.example/cb",
        "https://goodXexample/cb",
    ] {
        assert!(!registered.matches(other), "{other}");
    }
    let local = parse("http://localhost/cb").unwrap();
    for other in
        ["http://localhost.evil.example/cb", "http://localhost@evil/cb", "http://localhost:80@evil/cb"]
    {
        assert!(!local.matches(other), "{other}");
    }
}

/// AZ-09.
///
/// AS-032.
#[test]
fn lookalikes_of_the_loopback_address_neither_match_nor_register() {
    let registered = parse("http://127.0.0.1/cb").unwrap();
    for host in [
        "127.0.0.2",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.evil",
        "127.0.0.1@evil",
        "127.0.0.1.",
        "LOCALHOST",
        "localhost.",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "0.0.0.0",
        "127.0.0.01",
        "evil",
        "\u{ff11}27.0.0.1",
        "127%2E0.0.1",
        "",
    ] {
        let raw = format!("http://{host}/cb");
        assert!(!registered.matches(&raw), "{raw}");
        assert!(parse(&raw).is_err(), "{raw}");
    }
    for other in [
        "http://localhost/cb",
        "http://[::1]/cb",
        "https://127.0.0.1/cb",
        "http://127.0.0.1/cb2",
        "http://127.0.0.1/cb?x",
    ] {
        assert!(!registered.matches(other), "{other}");
    }
}

/// AZ-07, RG-02.
#[test]
fn malformed_uris_are_not_registered() {
    let controls = (0..=0x1f_u8).chain(0x7f..=0x9f).map(char::from);
    for bad in controls.chain([' ', '\\', '"', '<', '>', '^', '`', '{', '|', '}', '#', '\u{e9}']) {
        for raw in [
            format!("https://a{bad}.example/cb"),
            format!("https://a.example/c{bad}b"),
            format!("https://a.example/?{bad}"),
        ] {
            assert!(matches!(parse(&raw), Err(RedirectUriError::Malformed(_))), "{raw:?}");
        }
    }
    for raw in [
        "",
        "/cb",
        "cb",
        "//a.example/cb",
        "https:/a.example/cb",
        "https:a.example",
        "https://",
        "https:///cb",
        "https://a.example:/cb",
        "https://a.example:99999/",
        "https://a.example/cb#",
        "https://u:p@a.example/",
        "https://a.example/../cb",
        "https://127.1/cb",
        "https://a.example/%0d%0a",
        "https://a..example/",
        "cursor:",
        "cursor://",
        "cursor://u@x/",
    ] {
        assert!(matches!(parse(raw), Err(RedirectUriError::Malformed(_))), "{raw}");
    }
    assert!(parse(&format!("https://a.example/{}", "a".repeat(2048 - 18))).is_ok());
    assert!(parse(&format!("https://a.example/{}", "a".repeat(2049 - 18))).is_err());
}

/// AS-033, AS-036.
#[test]
fn other_schemes_are_not_registered() {
    for raw in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "myapp://cb",
        "Cursor://x/cb",
        "HTTPS://a.example/",
        "HTTP://localhost/",
        "ws://localhost/",
        "urn:ietf:wg:oauth:2.0:oob",
        "com.example.ap:/cb",
    ] {
        assert_eq!(parse(raw), Err(RedirectUriError::Scheme), "{raw}");
    }
    assert_eq!(parse("http://a.example/cb"), Err(RedirectUriError::HttpOffLoopback));
    assert_eq!(
        RedirectUri::parse("cursor://x/cb", &RedirectPolicy::default()),
        Err(RedirectUriError::Scheme)
    );
}

/// AZ-29.
#[test]
fn a_uri_may_not_bring_a_response_of_its_own() {
    for query in [
        "code=x",
        "iss=evil",
        "x=1&error=y",
        "state",
        "a&state=",
        "error_description=x",
        "error_uri=x",
        "response=x",
        "c%6fde=x",
        "x;code=y",
        "CODE=x",
        "code[]=x",
        "code%5B0%5D=x",
        "+code=x",
        "%20state%20=1",
        "code%FF=x",
    ] {
        for base in ["https://a.example/cb", "http://127.0.0.1/cb", "cursor://x/cb"] {
            assert_eq!(
                parse(&format!("{base}?{}", query.replace(['[', ']'], "%5B"))),
                Err(RedirectUriError::ResponseParameter),
                "{query}"
            );
        }
    }
    for query in ["codes=x", "x=code", "my_state=1", "x=state%26code", "errors", ""] {
        assert!(parse(&format!("https://a.example/cb?{query}")).is_ok(), "{query}");
    }
}

/// The answer would come back as a request of our own making.
#[test]
fn no_client_is_at_our_own_origins() {
    for own in [
        "https://mcp.example.com/consent",
        "https://mcp.example.com/login/callback/okta?x=y",
        "https://MCP.example.COM/",
        "https://mcp.example.com:443/cb",
        "http://localhost:8080/cb",
    ] {
        assert_eq!(parse(own).unwrap_err(), RedirectUriError::Own, "{own}");
    }
    for other in [
        "https://mcp.example.com:8443/cb",
        "https://mcp.example.com.evil.example/cb",
        "https://a.mcp.example.com/cb",
        "https://example.com/mcp.example.com",
        "http://localhost/cb",
        "http://127.0.0.1:8080/cb",
        "cursor://mcp.example.com/cb",
    ] {
        assert!(parse(other).is_ok(), "{other}");
    }
    assert!(policy().is_own("http://localhost:8080/any") && !policy().is_own("no uri"));
}

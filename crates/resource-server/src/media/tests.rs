use super::*;

fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name.clone(), value.parse().unwrap());
    }
    headers
}

#[test]
fn content_types_are_known_or_nothing() {
    for (values, expected) in [
        (&["application/json"][..], Some(Media::Json)),
        (&["Application/JSON; Charset=\"UTF-8\""], Some(Media::Json)),
        (&["application/json;charset=utf-8;"], Some(Media::Json)),
        (&["text/event-stream; charset=utf-8"], Some(Media::Events)),
        (&["application/json; charset=utf-16"], None),
        (&["application/json; nonsense"], None),
        (&["application/json-patch+json"], None),
        (&["application/problem+json"], None),
        (&["text/plain"], None),
        (&["text/html"], None),
        (&[""], None),
        (&[], None),
        (&["application/json", "application/json"], None),
        (&["text/html, application/json"], None),
    ] {
        assert_eq!(content_type(&headers(CONTENT_TYPE, values)), expected, "{values:?}");
    }
}

#[test]
fn what_a_client_accepts() {
    for (values, json, events) in [
        (&[][..], true, true),
        (&["application/json, text/event-stream"], true, true),
        (&["text/event-stream, application/json"], true, true),
        (&["application/json", "text/event-stream"], true, true),
        (&["*/*"], true, true),
        (&["application/*;q=0.5, text/*"], true, true),
        (&["APPLICATION/JSON,TEXT/EVENT-STREAM"], true, true),
        (&["application/json"], true, false),
        (&["text/event-stream"], false, true),
        (&["application/json, text/event-stream;q=0"], true, false),
        (&["application/json; q=0.000, text/event-stream; q=0.001"], false, true),
        (&["text/html"], false, false),
        (&[""], false, false),
    ] {
        assert_eq!(accepted(&headers(ACCEPT, values)), Accepted { json, events }, "{values:?}");
    }
}

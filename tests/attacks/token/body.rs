//! The form itself: repeated, in the wrong place, of another type, too large, not text.

use testkit::http::{Answer, form};
use testkit::outcomes::{Verdict, harmless, tok400, tok401};
use testkit::raw;

use crate::steps::{Code, Flow, Tokens, while_trying};

const FORM: &str = "application/x-www-form-urlencoded";
/// What a form may have in bytes.
const CAP: usize = 64 * 1024;

fn redeeming(flow: &Flow, code: &Code) -> String {
    form(&[
        ("grant_type", "authorization_code"),
        ("client_id", &flow.client.client_id),
        ("code", &code.code),
        ("code_verifier", &code.verifier),
        ("redirect_uri", &flow.client.redirect_uri),
    ])
}

async fn send(flow: &Flow, body: impl Into<bytes::Bytes>) -> Result<Answer, String> {
    flow.house.http.post(&flow.at("/oauth/token"), &[("content-type", FORM)], body).await
}

/// AS-142.
#[tokio::test]
async fn tk_19_a_repeated_parameter_is_refused_whatever_it_is() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let body = redeeming(&flow, &code);
    let before = flow.stored().await?;
    let names = ["grant_type", "client_id", "code", "code_verifier", "redirect_uri"];
    for name in names {
        let same =
            body.split('&').find(|pair| pair.starts_with(&format!("{name}="))).ok_or("no such field")?;
        for more in [same.to_owned(), format!("{name}=other"), format!("{name}="), name.to_owned()] {
            tok400(&send(&flow, format!("{body}&{more}")).await?, "invalid_request")
                .map_err(while_trying(&more))?;
            tok400(&send(&flow, format!("{more}&{body}")).await?, "invalid_request")
                .map_err(while_trying(&more))?;
        }
    }
    for unknown in ["x=1&x=2", "scope=read&scope=read", "client_secret=a&client_secret=a"] {
        tok400(&send(&flow, format!("{body}&{unknown}")).await?, "invalid_request")
            .map_err(while_trying(unknown))?;
    }
    assert_eq!(flow.stored().await?, before);
    // What is not known and comes once is ignored; `resource` may come twice (RFC 8707, section 2).
    let resource =
        form(&[("resource", &flow.house.resource("notes")), ("resource", &flow.house.resource("notes"))]);
    Tokens::of(&send(&flow, format!("{body}&x=1&{resource}")).await?)?;
    flow.house.close().await
}

/// AS-145.
#[tokio::test]
async fn tk_19_nothing_is_read_from_the_url() -> Verdict {
    let mut flow = Flow::with_method("client_secret_post").await?;
    let code = flow.code().await?;
    let secret = flow.client.secret.clone().ok_or("no secret")?;
    let query = format!("{}&client_secret={secret}", redeeming(&flow, &code));
    let url = format!("{}?{query}", flow.at("/oauth/token"));
    let before = flow.stored().await?;
    for (body, told) in [
        // Who asks is in the body, and what for is not.
        (form(&[("client_id", &flow.client.client_id), ("client_secret", &secret)]), "invalid_request"),
        (form(&[("grant_type", "authorization_code"), ("code", &code.code)]), "invalid_client"),
        (String::new(), "invalid_client"),
    ] {
        let answer = flow.house.http.post(&url, &[("content-type", FORM)], body).await?;
        let verdict = if told == "invalid_client" { tok401(&answer, false) } else { tok400(&answer, told) };
        verdict.map_err(while_trying(told))?;
        harmless(&answer, &[&secret, &code.code])?;
    }
    assert_eq!(flow.house.http.get(&url, &[]).await?.status, 405);
    assert_eq!(flow.stored().await?, before);
    flow.redeemed(&code).await?;
    flow.close().await
}

/// AS-142.
#[tokio::test]
async fn tk_20_another_media_type_is_no_form() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let body = redeeming(&flow, &code);
    let json = serde_json::json!({
        "grant_type": "authorization_code", "client_id": flow.client.client_id,
        "code": code.code, "code_verifier": code.verifier,
    });
    let before = flow.stored().await?;
    let utf16 = format!("{FORM};charset=utf-16");
    let listed = format!("application/json, {FORM}");
    let types: [&[(&str, &str)]; 9] = [
        &[],
        &[("content-type", "")],
        &[("content-type", "application/json")],
        &[("content-type", "multipart/form-data; boundary=x")],
        &[("content-type", "text/plain")],
        &[("content-type", &listed)],
        &[("content-type", &utf16)],
        &[("content-type", FORM), ("content-type", FORM)],
        &[("content-type", "application/x-www-form-urlencoded\u{fc}")],
    ];
    for path in ["/oauth/token", "/oauth/revoke"] {
        for headers in types {
            for body in [body.clone(), json.to_string()] {
                let answer = flow.house.http.post(&flow.at(path), headers, body).await?;
                tok400(&answer, "invalid_request").map_err(while_trying(&format!("{path} {headers:?}")))?;
            }
        }
    }
    assert_eq!(flow.stored().await?, before);
    let utf8 = format!("{FORM}; charset=\"UTF-8\"");
    let answer = flow.house.http.post(&flow.at("/oauth/token"), &[("content-type", &utf8)], body).await?;
    Tokens::of(&answer)?;
    flow.house.close().await
}

/// A form of exactly so many bytes: a parameter that nobody knows makes up the rest.
fn padded(body: &str, length: usize) -> String {
    format!("{body}&pad={}", "p".repeat(length - body.len() - "&pad=".len()))
}

/// POST with this body in chunks, as bytes for a socket.
fn chunked(flow: &Flow, body: &[u8]) -> Vec<u8> {
    let host = flow.house.host();
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    for chunk in body.chunks(4000) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn tk_22_a_form_over_the_cap_is_refused_on_both_paths_and_one_at_the_cap_is_read() -> Verdict {
    let mut flow = Flow::new().await?;
    let (host, address) = (flow.house.host(), flow.house.address());
    // Ten million bytes are announced, and refused before the first of them.
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM}\r\nContent-Length: 10000000\r\n\r\n"
    );
    assert_eq!(raw::send(&address, head.as_bytes()).await?.status, 413);
    let code = flow.code().await?;
    let body = redeeming(&flow, &code);
    let over = padded(&body, CAP + 1);
    assert_eq!(send(&flow, over.clone()).await?.status, 413);
    assert_eq!(raw::send(&address, &chunked(&flow, over.as_bytes())).await?.status, 413);
    assert_eq!(raw::send(&address, &chunked(&flow, &vec![b'a'; 10_000_000])).await?.status, 413);
    let many = "a=&".repeat(100_000);
    assert_eq!(send(&flow, many.clone()).await?.status, 413);
    assert_eq!(raw::send(&address, &chunked(&flow, many.as_bytes())).await?.status, 413);
    // Exactly the cap, on both paths.
    let exact = padded(&body, CAP);
    assert_eq!(exact.len(), CAP);
    Tokens::of(&send(&flow, exact).await?)?;
    let code = flow.code().await?;
    let exact = padded(&redeeming(&flow, &code), CAP);
    assert_eq!(raw::send(&address, &chunked(&flow, exact.as_bytes())).await?.status, 200);
    flow.house.close().await
}

#[tokio::test]
async fn tk_22_many_and_nested_parameters_are_only_parameters() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let body = redeeming(&flow, &code);
    let numbered = |count: usize| (0..count).map(|n| format!("&p{n}={n}")).collect::<String>();
    tok400(&send(&flow, format!("{body}{}", numbered(196))).await?, "invalid_request")?;
    let nested =
        format!("&a{}=1&code[]=x&code[$ne]=1&__proto__[x]=1&constructor.prototype=1", "%5B".repeat(5000));
    // Five of the request, 195 beside them: the most there may be.
    Tokens::of(&send(&flow, format!("{body}{}{nested}", numbered(190))).await?)?;
    flow.house.close().await
}

#[tokio::test]
async fn tk_23_what_is_not_text_is_refused() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let body = redeeming(&flow, &code);
    let before = flow.stored().await?;
    let broken: [&[u8]; 14] = [
        b"&x=%",
        b"&x=%4",
        b"&x=%zz",
        b"&x=%u0041",
        b"&x=%00",
        b"&x=a\0b",
        b"&x=a\r\nb",
        b"&x=\xff\xfe",
        b"&x=%ff",
        b"&x=%c0%af",
        b"&x=%ed%a0%80",
        b"&x=\xed\xa0\x80",
        b"&%00=1",
        b"&\xff=1",
    ];
    for more in broken {
        for path in ["/oauth/token", "/oauth/revoke"] {
            let whole = [body.as_bytes(), more].concat();
            let answer = flow.house.http.post(&flow.at(path), &[("content-type", FORM)], whole).await?;
            tok400(&answer, "invalid_request").map_err(while_trying(&String::from_utf8_lossy(more)))?;
        }
    }
    let marked = [b"\xef\xbb\xbf".as_slice(), body.as_bytes()].concat();
    tok400(&send(&flow, marked).await?, "invalid_request")?;
    assert_eq!(flow.stored().await?, before);
    // Text that is only unusual is text.
    Tokens::of(&send(&flow, format!("{body}&x=%F0%9F%9A%AA&&y&=z")).await?)?;
    flow.house.close().await
}

/// AS-153.
#[tokio::test]
async fn tk_40_every_answer_is_json_that_nobody_keeps_and_says_nothing_of_what_was_sent() -> Verdict {
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let canary = "c4n4ry\u{fc}\"><svg";
    let issued = flow.redeem(&code).await?;
    let refreshed = flow.refresh(&Tokens::of(&issued)?.refresh).await?;
    assert_eq!((issued.status, refreshed.status), (200.try_into().unwrap(), 200.try_into().unwrap()));
    assert_eq!(issued.json()["token_type"], "Bearer");
    assert_eq!(issued.json()["expires_in"], 600);
    assert_eq!(issued.json()["scope"], "read write");
    let mut answers = vec![issued, refreshed];
    let id = flow.client.client_id.clone();
    for fields in [
        vec![("client_id", canary)],
        vec![("client_id", &id), ("grant_type", canary)],
        vec![("client_id", &id), ("grant_type", "authorization_code"), ("code", canary)],
        vec![("client_id", &id), ("grant_type", "refresh_token"), ("refresh_token", canary)],
        vec![("client_id", &id), ("client_secret", canary)],
        vec![
            ("client_id", &id),
            ("grant_type", "refresh_token"),
            ("refresh_token", canary),
            ("scope", canary),
            ("resource", canary),
        ],
        vec![("client_id", &id), (canary, canary), (canary, canary)],
    ] {
        let answer = flow.post(&[], &fields).await?;
        assert!(
            answer.status.is_client_error() && !answer.error().is_empty(),
            "{fields:?}: {}",
            answer.text()
        );
        answers.push(answer);
    }
    answers.push(send(&flow, "x".repeat(CAP + 1)).await?);
    answers.push(flow.house.http.get(&flow.at("/oauth/token"), &[]).await?);
    answers.push(flow.revoke(&[("client_id", &id), ("token", canary)]).await?);
    for answer in &answers {
        harmless(answer, &["c4n4ry", "svg"])?;
        let what = format!("{} {}", answer.status, answer.text());
        assert!(answer.header("cache-control").contains("no-store"), "{what}");
        assert!(answer.header("content-type").starts_with("application/json"), "{what}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
        assert!(answer.text().is_ascii(), "{what}");
        assert!(answer.headers.get("set-cookie").is_none(), "{what}");
    }
    flow.close().await
}

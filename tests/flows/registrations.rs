//! Registrations in the audit: counts, and never more of them than a few a minute (product.md, P-18).

use serde_json::json;
use store::AuditKind;
use testkit::outcomes::Verdict;

use crate::steps::Flow;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn register(flow: &Flow, name: &str, port: u16) -> Result<u16, String> {
    let body = json!({
        "client_name": name, "redirect_uris": [format!("http://127.0.0.1:{port}/callback")],
        "token_endpoint_auth_method": "none",
    });
    let headers = [("content-type", "application/json")];
    let url = format!("{}/oauth/register", flow.house.issuer);
    flow.house.http.post(&url, &headers, body.to_string()).await.map(|answer| answer.status.as_u16())
}

async fn counts(flow: &Flow, kind: AuditKind, by: &str) -> Result<Vec<(String, String)>, String> {
    let events = flow.house.audit(kind).await?;
    let word = |value: Option<&String>| value.cloned().unwrap_or_default();
    Ok(events
        .iter()
        .map(|event| match by {
            "reason" => (event.reason.clone().unwrap_or_default(), word(event.detail.get("count"))),
            by => (word(event.detail.get(by)), word(event.detail.get("count"))),
        })
        .collect())
}

#[tokio::test]
async fn the_audit_counts_registrations_of_each_software_and_refusals_by_reason() -> Verdict {
    let flow = Flow::new().await?;
    flow.house.registrations.tell().await.map_err(text)?;
    let before = counts(&flow, AuditKind::ClientsRegistered, "fingerprint").await?;
    for port in 0..7 {
        assert_eq!(register(&flow, "one software", 40_000 + port).await?, 201);
    }
    assert_eq!(register(&flow, "another", 40_000).await?, 201);
    let refused = json!({"redirect_uris": ["http://elsewhere.example/"]}).to_string();
    let url = format!("{}/oauth/register", flow.house.issuer);
    flow.house.http.post(&url, &[("content-type", "application/json")], refused).await?;
    assert_eq!(counts(&flow, AuditKind::ClientsRegistered, "fingerprint").await?, before, "not yet");
    flow.house.registrations.tell().await.map_err(text)?;
    flow.house.registrations.tell().await.map_err(text)?;
    let mut told = counts(&flow, AuditKind::ClientsRegistered, "fingerprint").await?;
    told.retain(|count| !before.contains(count));
    let mut numbers: Vec<&str> = told.iter().map(|(_, count)| count.as_str()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["1", "7"], "ports are of installations, not of software: {told:?}");
    assert!(told.iter().all(|(fingerprint, _)| fingerprint.len() == 32), "{told:?}");
    let refused = counts(&flow, AuditKind::RegistrationRefused, "reason").await?;
    assert_eq!(refused, [("redirect_uri_refused".to_owned(), "1".to_owned())]);
    flow.house.close().await
}

#[tokio::test]
async fn strangers_who_register_without_end_fill_nothing() -> Verdict {
    let flow = Flow::new().await?;
    flow.house.registrations.tell().await.map_err(text)?;
    let before = counts(&flow, AuditKind::ClientsRegistered, "fingerprint").await?;
    for number in 0..200 {
        assert_eq!(register(&flow, &format!("said by stranger {number}"), 40_000).await?, 201);
    }
    flow.house.registrations.tell().await.map_err(text)?;
    let mut told = counts(&flow, AuditKind::ClientsRegistered, "fingerprint").await?;
    told.retain(|count| !before.contains(count));
    assert_eq!(told.len(), 9, "eight and the others: {told:?}");
    assert!(told.contains(&("others".to_owned(), "192".to_owned())), "{told:?}");
    assert!(!format!("{:?}", flow.house.audit(AuditKind::ClientsRegistered).await?).contains("stranger"));
    flow.house.close().await
}

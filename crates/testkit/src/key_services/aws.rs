//! AWS KMS, STS and instance metadata (their API references), with Signature Version 4 verified in our own words.

use aws_lc_rs::{digest, hmac};
use serde_json::json;

use super::{AWS, Asked, KEY, State, error_of, ok, said};

pub(super) const BROKEN: (u16, &str) = (500, r#"{"__type":"KMSInternalException","message":"internal"}"#);
pub(super) const THROTTLED: (u16, &str) =
    (400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#);
const SESSION: &str = "a-session-token";

/// What credentials are asked for at: STS and the metadata of the instance.
pub(super) fn around(asked: &Asked) -> Option<(u16, String)> {
    let role = "/latest/meta-data/iam/security-credentials/";
    let keys = json!({ "AccessKeyId": AWS.0, "SecretAccessKey": AWS.1, "Token": SESSION, "Code": "Success" });
    let body = String::from_utf8_lossy(&asked.body);
    Some(match asked.path.as_str() {
        "/latest/api/token" if asked.method == http::Method::PUT => (200, "an-instance-token".to_owned()),
        "/latest/api/token" => (405, String::new()),
        path if path.starts_with(role) && asked.header("x-aws-ec2-metadata-token") != "an-instance-token" => {
            (401, String::new())
        }
        path if path == role => (200, "a-role".to_owned()),
        path if path.strip_prefix(role) == Some("a-role") => said(200, &keys),
        "/container" if asked.header("authorization") == "a-container-token" => said(200, &keys),
        "/sts/" if body.contains("WebIdentityToken=a-pod-token") && body.contains("RoleArn=a-role") => (
            200,
            format!(
                "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                 <AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
                 <SessionToken>{SESSION}</SessionToken></Credentials></AssumeRoleWithWebIdentityResult>\
                 </AssumeRoleWithWebIdentityResponse>",
                AWS.0, AWS.1
            ),
        ),
        "/sts/" => {
            (403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>".to_owned())
        }
        _ => return None,
    })
}

pub(super) fn answer(asked: &Asked, state: &State) -> (u16, String) {
    if let Err(word) = signed(asked) {
        return said(400, &error_of(word));
    }
    let body = asked.json();
    let context = body["EncryptionContext"]["sekisho"].as_str().unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    if text("KeyId") != KEY {
        return said(400, &error_of("NotFoundException"));
    }
    match asked.header("x-amz-target") {
        "TrentService.Encrypt" => {
            let sealed = state.seal("aws", context, text("Plaintext"));
            ok(sealed.map(|blob| json!({ "CiphertextBlob": blob })), error_of("ValidationException"), 400)
        }
        "TrentService.Decrypt" => {
            let opened = state.open("aws", context, text("CiphertextBlob"));
            let answer = opened.map(|plaintext| json!({ "Plaintext": plaintext, "KeyId": KEY }));
            ok(answer, error_of("InvalidCiphertextException"), 400)
        }
        _ => said(400, &error_of("UnknownOperationException")),
    }
}

/// Verifies the signature of a request as the service would, by the headers that arrived.
fn signed(asked: &Asked) -> Result<(), &'static str> {
    let mut parts = asked
        .header("authorization")
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("MissingAuthenticationTokenException")?
        .split(", ");
    let mut part = |name: &str| {
        parts
            .next()
            .and_then(|part| part.strip_prefix(name)?.strip_prefix('='))
            .ok_or("IncompleteSignatureException")
    };
    let (credential, names, signature) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let (id, scope) = credential.split_once('/').ok_or("IncompleteSignatureException")?;
    if id != AWS.0 {
        return Err("UnrecognizedClientException");
    }
    let stamp = asked.header("x-amz-date");
    let [day, region, service, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
        return Err("IncompleteSignatureException");
    };
    if !stamp.starts_with(day) || service != "kms" || region != "eu-central-1" {
        return Err("InvalidSignatureException");
    }
    // What decides what is done must be signed, and a token of temporary credentials too.
    let temporary = asked.headers.contains_key("x-amz-security-token");
    let must = ["content-type", "host", "x-amz-date", "x-amz-target"];
    if must.iter().any(|name| !names.split(';').any(|signed| signed == *name))
        || (temporary
            && (!names.contains("x-amz-security-token") || asked.header("x-amz-security-token") != SESSION))
    {
        return Err("InvalidSignatureException");
    }
    let mut canonical = "POST\n/\n\n".to_owned();
    for name in names.split(';') {
        canonical += &format!("{name}:{}\n", asked.header(name));
    }
    canonical += &format!("\n{names}\n{}", hex(digest::digest(&digest::SHA256, &asked.body).as_ref()));
    let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}");
    let mac = |key: &[u8], data: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data.as_bytes()).as_ref().to_vec()
    };
    let first = mac(format!("AWS4{}", AWS.1).as_bytes(), day);
    let key = [region, service, "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
    if hex(&mac(&key, &to_sign)) == signature { Ok(()) } else { Err("InvalidSignatureException") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

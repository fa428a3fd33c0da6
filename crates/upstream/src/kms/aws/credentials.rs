//! Where credentials of AWS come from, in the order of its own tools: the environment, web identity (IRSA), the container's
//! endpoint (ECS, EKS Pod Identity), the instance's metadata (IMDSv2).
//!
//! Profiles and single sign-on are for people's machines and are not read. Temporary credentials are asked for anew each
//! time: a start asks once.

use bytes::Bytes;
use http::{Method, Request};
use serde::Deserialize;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::{AwsKms, Credentials};
use crate::kms::{KeyServiceClient, KeyServiceError, guarded, read, read_file, wiped};

const CONTAINER: &str = "http://169.254.170.2";
const INSTANCE: &str = "http://169.254.169.254";
/// The agents of ECS and EKS, link-local on the same machine: the only ones that the tools of AWS ask over http.
const BESIDE: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// Finds them.
pub(super) async fn find(aws: &AwsKms, client: &KeyServiceClient) -> Result<Credentials, KeyServiceError> {
    let var = |name| client.surroundings.find(name);
    if let (Some(id), Some(secret)) = (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY")) {
        return Ok(Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: Zeroizing::new(secret.to_owned()),
            session_token: var("AWS_SESSION_TOKEN").map(|token| Zeroizing::new(token.to_owned())),
        });
    }
    if let (Some(file), Some(role)) = (var("AWS_WEB_IDENTITY_TOKEN_FILE"), var("AWS_ROLE_ARN")) {
        return web_identity(aws, client, file, role).await;
    }
    let relative = var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        .map(|path| format!("{CONTAINER}/{}", path.trim_start_matches('/')));
    if let Some(url) = relative.or_else(|| var("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_owned)) {
        return container(client, &url).await;
    }
    instance(client).await
}

/// STS, `AssumeRoleWithWebIdentity`: the one call that is not signed, because the token of the pod speaks for it.
async fn web_identity(
    aws: &AwsKms,
    client: &KeyServiceClient,
    file: &str,
    role: &str,
) -> Result<Credentials, KeyServiceError> {
    let token = read_file(file).await?;
    let session = client.surroundings.find("AWS_ROLE_SESSION_NAME").unwrap_or("sekisho");
    let form = Serializer::new(String::new())
        .extend_pairs([
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.as_str()),
        ])
        .finish();
    let usual = aws.address_of("sts");
    let url = client.surroundings.find("AWS_ENDPOINT_URL_STS").unwrap_or(&usual);
    let request = Request::post(guarded(url, &[])?)
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(form))
        .map_err(|_| KeyServiceError::Settings("`AWS_ENDPOINT_URL_STS` is not a URL"))?;
    let response = client.send(request).await?;
    let body = std::str::from_utf8(response.body()).map_err(|_| KeyServiceError::Malformed)?;
    let element = |name: &str| element(body, name).ok_or(KeyServiceError::Malformed);
    Ok(Credentials {
        access_key_id: element("AccessKeyId")?.to_owned(),
        secret_access_key: Zeroizing::new(element("SecretAccessKey")?.to_owned()),
        session_token: Some(Zeroizing::new(element("SessionToken")?.to_owned())),
    })
}

/// The text of the one element of this name. The three that we read hold letters of base64 only, so nothing is escaped.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    (!text.is_empty() && !text.contains(['<', '&'])).then_some(text)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Temporary {
    access_key_id: String,
    #[serde(deserialize_with = "wiped")]
    secret_access_key: Zeroizing<String>,
    #[serde(deserialize_with = "wiped")]
    token: Zeroizing<String>,
}

impl From<Temporary> for Credentials {
    fn from(from: Temporary) -> Self {
        Self {
            access_key_id: from.access_key_id,
            secret_access_key: from.secret_access_key,
            session_token: Some(from.token),
        }
    }
}

async fn container(client: &KeyServiceClient, url: &str) -> Result<Credentials, KeyServiceError> {
    let var = |name| client.surroundings.find(name);
    let token = match var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(read_file(file).await?),
        None => var("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(|token| Zeroizing::new(token.to_owned())),
    };
    let header = token.as_ref().map(|token| ("authorization", token.as_str()));
    let answer = ask(client, Method::GET, guarded(url, &BESIDE)?, header).await?;
    read::<Temporary>(answer).map(Into::into)
}

/// IMDSv2: a token first, so that a request that somebody makes us send elsewhere fetches nothing.
async fn instance(client: &KeyServiceClient) -> Result<Credentials, KeyServiceError> {
    if client
        .surroundings
        .find("AWS_EC2_METADATA_DISABLED")
        .is_some_and(|off| off.eq_ignore_ascii_case("true"))
    {
        return Err(KeyServiceError::Credentials);
    }
    let base = client.surroundings.find("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(INSTANCE);
    let base = base.trim_end_matches('/');
    let nobody = |error| match error {
        KeyServiceError::ClockOff { .. } | KeyServiceError::Refused { .. } | KeyServiceError::Unreachable => {
            KeyServiceError::Credentials
        }
        other @ (KeyServiceError::Busy { .. }
        | KeyServiceError::Credentials
        | KeyServiceError::CredentialsFile
        | KeyServiceError::InTheClear
        | KeyServiceError::Malformed
        | KeyServiceError::Settings(_)) => other,
    };
    let life = Some(("x-aws-ec2-metadata-token-ttl-seconds", "60"));
    let token = ask(client, Method::PUT, &format!("{base}/latest/api/token"), life).await.map_err(nobody)?;
    let token = text(&token)?;
    let header = Some(("x-aws-ec2-metadata-token", token.as_str()));
    let role = ask(client, Method::GET, &format!("{base}{ROLES}"), header).await.map_err(nobody)?;
    let role = text(&role)?;
    let role = role.lines().next().ok_or(KeyServiceError::Credentials)?;
    read::<Temporary>(ask(client, Method::GET, &format!("{base}{ROLES}{role}"), header).await?)
        .map(Into::into)
}

fn text(response: &http::Response<Bytes>) -> Result<Zeroizing<String>, KeyServiceError> {
    let text = std::str::from_utf8(response.body()).map_err(|_| KeyServiceError::Malformed)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

async fn ask(
    client: &KeyServiceClient,
    method: Method,
    url: &str,
    header: Option<(&'static str, &str)>,
) -> Result<http::Response<Bytes>, KeyServiceError> {
    let mut request = Request::builder().method(method).uri(url);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let request = request.body(Bytes::new()).map_err(|_| KeyServiceError::Credentials)?;
    client.send(request).await
}

//! Certificates from an authority that speaks ACME (RFC 8555): one order, from the account to the chain.
//!
//! The proofs are shown by somebody else, who is told of them in time; what comes of it is handed over, and nothing is
//! kept or written here. Speaks https only, and never to a host that the directory does not name.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderValue, Request, uri};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{
    Account, AccountCredentials, AuthorizationHandle, AuthorizationStatus, BodyWrapper, BytesResponse,
    ChallengeType, Error, ExternalAccountKey, HttpClient, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use rcgen::{CertificateParams, CustomExtension, KeyPair};

use crate::egress::{Egress, Limits};
use crate::trust::validities;

/// For one request to the authority.
const LIMITS: Limits = Limits { total: Duration::from_secs(30), max_body: 1024 * 1024 };
/// For the authority to look at all proofs, and to issue.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).timeout(Duration::from_secs(120));
const AGENT: HeaderValue = HeaderValue::from_static(concat!("sekisho/", env!("CARGO_PKG_VERSION")));
/// Of what an authority says in words.
const WORDS: usize = 500;

/// How the authority is shown that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// RFC 8555, section 8.3.
    Http01,
    /// RFC 8737.
    TlsAlpn01,
}

/// What the authority is told.
#[derive(Debug)]
pub struct AcmeSettings {
    /// The URL of its directory.
    pub directory_url: String,
    /// Whom it may write to, as `mailto:` URLs.
    pub contact: Vec<String>,
    /// The host names of the certificate.
    pub names: Vec<String>,
    /// How it is shown that they are ours.
    pub challenge: Challenge,
    /// The external account that ours is bound to (RFC 8555, section 7.3.4): its identifier, and its key.
    pub external_account: Option<(String, Secret)>,
}

/// What must be shown while an order is open.
pub enum Proof {
    /// The answer to a request for `/.well-known/acme-challenge/TOKEN`.
    Http {
        /// The token.
        token: String,
        /// The body of the answer.
        answer: String,
    },
    /// The certificate to be shown to whoever negotiates `acme-tls/1` for this name.
    TlsAlpn {
        /// The name.
        name: String,
        /// The certificate, in DER.
        certificate: Vec<u8>,
        /// Its key, in PKCS #8. It proves nothing but this challenge and is of no use afterwards.
        key: Vec<u8>,
    },
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http { .. } => "Proof::Http",
            Self::TlsAlpn { .. } => "Proof::TlsAlpn",
        })
    }
}

/// Shows these proofs and no others from now on.
pub type Prove = dyn Fn(Vec<Proof>) + Send + Sync;

/// A certificate that was issued.
#[derive(Debug)]
pub struct Issued {
    /// The account, to be presented at the next order.
    pub account: Secret,
    /// The chain and then the key, in PEM.
    pub pem: Secret,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The account that was kept cannot be read.
    #[error("the account that was kept cannot be read; without its file another one is made")]
    Account,
    /// The authority says no.
    #[error("the certificate authority refused: {what} ({kind})")]
    Refused {
        /// The type of the problem, as in `rateLimited`.
        kind: String,
        /// What it says of it, without what does not belong into a line of a log.
        what: String,
    },
    /// It does not offer what is configured, or says what makes no sense.
    #[error("the certificate authority cannot be understood: {0}")]
    Nonsense(String),
    /// It could not be asked.
    #[error("the certificate authority cannot be reached: {0}")]
    Unreachable(String),
    /// The key of the external account is not base64url.
    #[error("the key of the external account is not in base64url")]
    ExternalAccount,
    /// The proofs were not looked at in time.
    #[error("the certificate authority did not decide in time")]
    TimedOut,
}

impl AcmeError {
    /// Whether the authority asked for fewer requests.
    #[must_use]
    pub fn is_rate_limit(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "rateLimited")
    }
}

impl From<Error> for AcmeError {
    fn from(error: Error) -> Self {
        // Not a match: the library may add to its errors, and what it adds is told in its own words.
        if let Error::Api(problem) = error {
            let kind = problem.r#type.unwrap_or_default();
            let kind = kind.rsplit(':').next().unwrap_or_default();
            let mut what = problem.detail.unwrap_or_default();
            for sub in problem.subproblems {
                what.push_str("; ");
                what.push_str(&sub.detail.unwrap_or_default());
            }
            Self::Refused { kind: words(kind), what: words(&what) }
        } else if let Error::Other(error) = error {
            Self::Unreachable(words(&error.to_string()))
        } else if let Error::Timeout(_) = error {
            Self::TimedOut
        } else {
            Self::Nonsense(words(&error.to_string()))
        }
    }
}

/// What somebody else wrote, fit for a line.
fn words(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(WORDS).collect()
}

/// A client of one authority.
#[derive(Debug)]
pub struct Acme {
    settings: AcmeSettings,
    egress: Arc<dyn Egress>,
}

impl Acme {
    /// Asks nobody anything yet.
    #[must_use]
    pub fn new(settings: AcmeSettings, egress: Arc<dyn Egress>) -> Self {
        Self { settings, egress }
    }

    /// The host names of the certificate.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.settings.names
    }

    /// Orders a certificate. `account` is what an earlier order handed over.
    ///
    /// # Errors
    /// If there is no certificate in the end.
    pub async fn order(&self, account: Option<&Secret>, prove: &Prove) -> Result<Issued, AcmeError> {
        let issued = self.order_with(account, prove).await;
        prove(Vec::new());
        issued
    }

    async fn order_with(&self, kept: Option<&Secret>, prove: &Prove) -> Result<Issued, AcmeError> {
        let (account, credentials) = self.account(kept).await?;
        let identifiers: Vec<Identifier> = self.settings.names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        self.authorize(&mut order, prove).await?;
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => {
                let silent =
                    AcmeError::Nonsense("the order became invalid, and it does not say why".to_owned());
                return Err(reason(&mut order).await.unwrap_or(silent));
            }
            // The order says what happened; the challenge says also to which name.
            Err(error @ Error::Api(_)) => {
                return Err(reason(&mut order).await.unwrap_or_else(|| error.into()));
            }
            Err(error) => return Err(error.into()),
        }
        let key = Secret::new(order.finalize().await?);
        let chain = order.poll_certificate(&PATIENCE).await?;
        let pem = key.expose(|key| format!("{}\n{}", chain.trim_end(), key));
        Ok(Issued { account: credentials, pem: Secret::new(pem) })
    }

    async fn account(&self, kept: Option<&Secret>) -> Result<(Account, Secret), AcmeError> {
        let builder = Account::builder_with_http(Box::new(Client(Arc::clone(&self.egress))));
        if let Some(kept) = kept {
            let credentials: AccountCredentials =
                kept.expose(|text| serde_json::from_str(text)).map_err(|_| AcmeError::Account)?;
            let again = kept.expose(|text| Secret::new(text.to_owned()));
            return Ok((builder.from_credentials(credentials).await?, again));
        }
        let contact: Vec<&str> = self.settings.contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let external = self.settings.external_account.as_ref().map(external).transpose()?;
        let url = self.settings.directory_url.clone();
        let (account, credentials) = builder.create(&wanted, url, external.as_ref()).await?;
        let text = serde_json::to_string(&credentials).map_err(|_| AcmeError::Account)?;
        Ok((account, Secret::new(text)))
    }

    /// Shows a proof for each name, and says that it can be looked at.
    async fn authorize(&self, order: &mut Order, prove: &Prove) -> Result<(), AcmeError> {
        let mut shown = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Deactivated
                | AuthorizationStatus::Expired
                | AuthorizationStatus::Invalid
                | AuthorizationStatus::Revoked => {
                    return Err(AcmeError::Nonsense(
                        "a new order holds an authorization that is over".to_owned(),
                    ));
                }
            }
            self.answer(authorization, &mut shown, prove).await?;
        }
        Ok(())
    }

    async fn answer(
        &self,
        mut authorization: AuthorizationHandle<'_>,
        shown: &mut Vec<Shown>,
        prove: &Prove,
    ) -> Result<(), AcmeError> {
        let kind = match self.settings.challenge {
            Challenge::Http01 => ChallengeType::Http01,
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let missing = || AcmeError::Nonsense("it does not offer the configured challenge".to_owned());
        let mut challenge = authorization.challenge(kind).ok_or_else(missing)?;
        let authorized = challenge.key_authorization();
        shown.push(Shown {
            name: challenge.identifier().to_string(),
            token: challenge.token.clone(),
            answer: authorized.as_str().to_owned(),
            digest: authorized.digest().as_ref().to_vec(),
        });
        let proofs = shown.iter().map(|shown| shown.proof(self.settings.challenge));
        prove(proofs.collect::<Result<_, _>>()?);
        Ok(challenge.set_ready().await?)
    }
}

/// What is shown for one name.
struct Shown {
    name: String,
    token: String,
    answer: String,
    digest: Vec<u8>,
}

impl Shown {
    fn proof(&self, challenge: Challenge) -> Result<Proof, AcmeError> {
        match challenge {
            Challenge::Http01 => Ok(Proof::Http { token: self.token.clone(), answer: self.answer.clone() }),
            Challenge::TlsAlpn01 => {
                let failed = |error: rcgen::Error| AcmeError::Nonsense(error.to_string());
                let mut params = CertificateParams::new(vec![self.name.clone()]).map_err(failed)?;
                params.custom_extensions = vec![CustomExtension::new_acme_identifier(&self.digest)];
                let key = KeyPair::generate().map_err(failed)?;
                let certificate = params.self_signed(&key).map_err(failed)?;
                let (certificate, key) = (certificate.der().to_vec(), key.serialize_der());
                Ok(Proof::TlsAlpn { name: self.name.clone(), certificate, key })
            }
        }
    }
}

fn external((id, key): &(String, Secret)) -> Result<ExternalAccountKey, AcmeError> {
    let key = key.expose(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')));
    Ok(ExternalAccountKey::new(id.clone(), &key.map_err(|_| AcmeError::ExternalAccount)?))
}

/// Why an order became invalid: the problem of the challenge that failed (RFC 8555, section 8.2).
async fn reason(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // As it was when it was last fetched, unless it is fetched again.
        drop(authorization.refresh().await);
        let name = authorization.identifier().to_string();
        let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.clone());
        if let Some(mut problem) = problem {
            problem.detail = Some(format!("{name}: {}", problem.detail.unwrap_or_default()));
            return Some(Error::Api(problem).into());
        }
    }
    None
}

/// From when to when the first certificate of a PEM text is valid.
#[must_use]
pub fn validity(pem: &[u8]) -> Option<(Timestamp, Timestamp)> {
    validities(pem).into_iter().next()
}

/// The way out for the library: through our own egress, in https alone.
struct Client(Arc<dyn Egress>);

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let egress = Arc::clone(&self.0);
        Box::pin(async move {
            if request.uri().scheme() != Some(&uri::Scheme::HTTPS) {
                return Err(Error::Str("an https URL"));
            }
            let (mut head, body) = request.into_parts();
            head.headers.insert(USER_AGENT, AGENT);
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let answer = egress.fetch(Request::from_parts(head, body), LIMITS).await;
            let answer = answer.map_err(|error| Error::Other(Box::new(error)))?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_authority_says_is_told_in_one_line() {
        let problem = serde_json::json!({
            "type": "urn:ietf:params:acme:error:rateLimited",
            "detail": "too many\n\u{1b}[31mcertificates",
            "status": 429,
        });
        let error = AcmeError::from(Error::Api(serde_json::from_value(problem).unwrap()));
        assert!(error.is_rate_limit());
        assert_eq!(
            error.to_string(),
            "the certificate authority refused: too many[31mcertificates (rateLimited)"
        );
    }

    #[test]
    fn the_time_of_a_certificate_is_read() {
        let made = rcgen::generate_simple_self_signed(vec!["mcp.example.com".to_owned()]).unwrap();
        let (from, to) = validity(made.cert.pem().as_bytes()).unwrap();
        assert!(from < to);
        assert_eq!(validity(b"nothing"), None);
    }

    #[test]
    fn a_proof_by_tls_is_a_certificate_for_the_name_with_the_digest_in_it() {
        let shown = Shown {
            name: "mcp.example.com".to_owned(),
            token: "t".to_owned(),
            answer: "t.k".to_owned(),
            digest: vec![7; 32],
        };
        let Ok(Proof::TlsAlpn { certificate, .. }) = shown.proof(Challenge::TlsAlpn01) else {
            panic!("no proof")
        };
        let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        // RFC 8737, section 3: id-pe-acmeIdentifier, critical, an OCTET STRING of 32 bytes.
        let mut extensions = certificate.extensions().iter();
        let proof =
            extensions.find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(proof.critical);
        assert_eq!(proof.value, [&[4, 32][..], &[7; 32]].concat());
    }
}

//! Reasons of programs that a platform speaks for (workload identity federation).

use super::{Words, says};

pub(super) const WORDS: &[Words] = &[
    says(
        "workload_ambiguous",
        "Several service accounts have a rule for this program.",
        "Sekisho's rule: a program acts as one service account (docs/workloads.md)",
        "Make the rules of `[[service_account.workload]]` narrower, so that one service account is meant.",
    ),
    says(
        "workload_audience",
        "The platform's JWT is not for this issuer alone.",
        "RFC 7523, section 3, rule 3; draft-ietf-oauth-rfc7523bis, section 4",
        "Ask the platform for a JWT with `public_url` as its only audience.",
    ),
    says(
        "workload_before_restore",
        "The platform's JWT was made before the record was restored, so nobody knows whether it was used.",
        "RFC 7519, section 4.1.7; docs/backup.md",
        "The program asks its platform for another one. Nothing else is needed.",
    ),
    says(
        "workload_client",
        "The request names a client that is none of the service account.",
        "RFC 7521, section 4.1",
        "Leave `client_id` out, or send `service-account:NAME`; a client of the service account must authenticate.",
    ),
    says(
        "workload_constrained",
        "The platform's JWT is bound to a key that is not proven here.",
        "RFC 7800, section 3",
        "Ask the platform for one without `cnf`.",
    ),
    says(
        "workload_expired",
        "The platform's JWT is over.",
        "RFC 7523, section 3, rule 4",
        "The program keeps it too long, or a clock is off. It should read the file, or ask, again each time.",
    ),
    says(
        "workload_id_missing",
        "The platform's JWT has no `sub`, or no `jti` by which it could be used once.",
        "RFC 7523, section 3, rules 2 and 7",
        "If the platform makes none, or hands out one JWT for a while, set `reuse = true` for the issuer.",
    ),
    says(
        "workload_issuer_untrusted",
        "The issuer of the JWT is none that is believed about programs.",
        "RFC 7523, section 3, rule 1",
        "Add a `[[workload_issuer]]`, spelled exactly as `iss` of the JWT; a final `/` counts.",
    ),
    says(
        "workload_keys_missing",
        "The keys of the platform cannot be read.",
        "RFC 7517, section 5",
        "Open the issuer's discovery document and `jwks_uri` from this machine; a cluster without a public issuer needs `jwks_uri` or `jwks_file`.",
    ),
    says(
        "workload_lives_too_long",
        "The platform's JWT lives longer than is accepted.",
        "RFC 7523, section 3, rule 4",
        "Ask the platform for a shorter one (`expirationSeconds` in Kubernetes), or raise `longest_life` of the issuer.",
    ),
    says(
        "workload_malformed",
        "The assertion is no JWT that says who issued it.",
        "RFC 7523, section 3",
        "Look at what the program sends: `assertion` is the JWT itself, without quotes and line ends.",
    ),
    says(
        "workload_no_rule",
        "No service account has a rule for this program.",
        "SEP-1933: who is believed and who is admitted are two decisions",
        "`sekisho audit` shows its subject; compare each claim with `[[service_account.workload]]`.",
    ),
    says(
        "workload_not_yet",
        "The platform's JWT is not good yet.",
        "RFC 7523, section 3, rules 5 and 6",
        "A clock is off. Set them by NTP.",
    ),
    says(
        "workload_replayed",
        "The platform's JWT was used before.",
        "RFC 7523, section 3, rule 7",
        "The program should ask for a new one each time; if it does, somebody copied one. For platforms that hand out one for a while there is `reuse`.",
    ),
];

//! What identity providers say of people who are out, and why it was not done.

use super::{Words, says};

pub(super) const WORDS: &[Words] = &[
    says(
        "backchannel_logout",
        "The identity provider said by back-channel logout that the person is out.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.6",
        "Nothing to do. Whoever is there signs in again.",
    ),
    says(
        "global_token_revocation",
        "The identity provider said by Universal Logout that everything of the person is to end.",
        "draft-parecki-oauth-global-token-revocation",
        "Nothing to do. Whoever is there signs in again.",
    ),
    says(
        "security_event",
        "The identity provider said by a security event that the person is out.",
        "OpenID CAEP 1.0; RFC 8935",
        "Nothing to do. Whoever is there signs in again.",
    ),
    says(
        "gone_at_provider",
        "The identity provider was asked whether the person is still there, and said no.",
        "RFC 6749, section 5.2 (`invalid_grant`); OpenID Connect Core 1.0, section 12",
        "Look at the person at the provider. Whoever is there signs in again.",
    ),
    says(
        "signal_audience",
        "What an identity provider sent is for another audience than Sekisho.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.6, step 4",
        "Compare `client_id` with the client at the provider to which the endpoint was given.",
    ),
    says(
        "signal_event",
        "What an identity provider sent does not say that it is a logout.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.6, step 6",
        "Give each endpoint to the function of the provider that it is for.",
    ),
    says(
        "signal_expired",
        "What an identity provider sent was over when it came.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.6, step 4",
        "Compare the clocks (`sekisho check`); a queue at the provider may also have held it up.",
    ),
    says(
        "signal_id_missing",
        "What an identity provider sent has no `jti` of 1 to 255 characters, so it could not be used once.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.4",
        "This is a mistake of the provider: tell those who run it.",
    ),
    says(
        "signal_issuer",
        "What came is signed by the keys of the identity provider, and names another issuer.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.6, step 4",
        "Compare the issuer of the `[[identity_provider]]` with what the provider signs.",
    ),
    says(
        "signal_keys_missing",
        "The keys of the identity provider could not be had, so nothing could be verified.",
        "OpenID Connect Discovery 1.0, section 4",
        "See whether the provider is reached: `sekisho check`. It was told that nothing was done.",
    ),
    says(
        "signal_lives_too_long",
        "What an identity provider sent would be good for more than an hour.",
        "OpenID Connect Back-Channel Logout 1.0, section 4",
        "Shorten the life of logout tokens at the provider; two minutes are enough.",
    ),
    says(
        "signal_malformed",
        "The request does not carry exactly one logout token.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.5",
        "Nothing to do, unless it came from an identity provider.",
    ),
    says(
        "signal_nonce",
        "The logout token has a nonce, as an ID token has, and may be one.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.6, step 7",
        "This is a mistake of the provider: tell those who run it.",
    ),
    says(
        "signal_not_offered",
        "There is no identity provider of that name that sends such a signal.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.2",
        "Compare the URL at the provider with the `id` of the `[[identity_provider]]`.",
    ),
    says(
        "signal_not_yet",
        "What an identity provider sent is from the future.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.6, step 4",
        "Compare the clocks (`sekisho check`).",
    ),
    says(
        "signal_subject_format",
        "The identity provider names somebody by an identifier of a format that cannot be followed.",
        "RFC 9493, section 3",
        "Choose issuer and subject, or the e-mail address, as the format at the provider.",
    ),
    says(
        "signal_subject_missing",
        "The logout token names neither a person nor a session.",
        "OpenID Connect Back-Channel Logout 1.0, section 2.6, step 5",
        "This is a mistake of the provider: tell those who run it.",
    ),
    says(
        "signal_unauthenticated",
        "The request for a global token revocation carries no bearer token.",
        "draft-parecki-oauth-global-token-revocation-06, section 3.5",
        "Choose the signed JWT as the authentication of the endpoint at the provider.",
    ),
];

"""Who calls an MCP server behind Sekisho, by the header `sekisho-identity`. With PyJWT[crypto]."""

import jwt


class Callers:
    """`audience` is the `url` of this MCP server in Sekisho's configuration."""

    def __init__(self, issuer: str, audience: str) -> None:
        self.issuer, self.audience = issuer, audience
        # Keeps the keys, and fetches them again when one is unknown.
        self.keys = jwt.PyJWKClient(f"{issuer}/oauth/jwks")

    def who(self, assertion: str) -> dict:
        """`sub` never changes; `name`, `groups`, `client_id`, `scope`, `service_account`. Raises jwt.PyJWTError: answer 401."""
        if jwt.get_unverified_header(assertion).get("typ") != "sekisho-identity+jwt":
            raise jwt.InvalidTokenError("no identity assertion")
        key = self.keys.get_signing_key_from_jwt(assertion)
        required = {"require": ["aud", "exp", "iss", "sub"]}
        return jwt.decode(
            assertion, key, algorithms=["ES256"], issuer=self.issuer, audience=self.audience, options=required
        )

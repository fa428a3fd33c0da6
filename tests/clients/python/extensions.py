"""The Python SDK's client without a browser: client credentials, and enterprise-managed authorization.

    CLIENT_ID=… CLIENT_SECRET=…|PRIVATE_KEY=… ISSUER=… python extensions.py <mcp-url> <tool> [arguments as JSON]
    … IDP=… IDP_CLIENT_ID=… IDP_CLIENT_SECRET=… ID_TOKEN=…       exchanges the ID token for an ID-JAG, and that for an access token

Prints one line of JSON with what it saw. The exit code says whether it worked.
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from client import Memory

given = os.environ


async def id_jag(audience: str, resource: str) -> str:
    """Exchanges the ID token at the identity provider: the SDK leaves this to its user."""
    async with httpx2.AsyncClient() as http:
        metadata = (await http.get(f"{given['IDP']}/.well-known/openid-configuration")).json()
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": given["ID_TOKEN"],
            "audience": audience,
            "resource": resource,
            "client_id": given["IDP_CLIENT_ID"],
            "client_secret": given["IDP_CLIENT_SECRET"],
        }
        answer = await http.post(metadata["token_endpoint"], data=form)
        answer.raise_for_status()
        return answer.json()["access_token"]


def provider(url: str, memory: Memory) -> httpx2.Auth:
    who = {"server_url": url, "storage": memory, "client_id": given["CLIENT_ID"], "issuer": given["ISSUER"]}
    if "ID_TOKEN" in given:
        return IdentityAssertionOAuthProvider(**who, client_secret=given["CLIENT_SECRET"], assertion_provider=id_jag)
    if "PRIVATE_KEY" in given:
        signed = SignedJWTParameters(
            issuer=given["CLIENT_ID"],
            subject=given["CLIENT_ID"],
            signing_key=given["PRIVATE_KEY"],
            signing_algorithm="ES256",
        )
        return PrivateKeyJWTOAuthProvider(**who, assertion_provider=signed.create_assertion_provider())
    return ClientCredentialsOAuthProvider(**who, client_secret=given["CLIENT_SECRET"])


async def main(url: str, name: str, arguments: str = "{}") -> None:
    memory = Memory()
    async with create_mcp_http_client(auth=provider(url, memory)) as http_client:
        async with Client(streamable_http_client(url, http_client=http_client)) as client:
            tools = (await client.list_tools()).tools
            result = await client.call_tool(name, json.loads(arguments))
    assert memory.tokens
    seen = {
        "clientId": given["CLIENT_ID"],
        "scope": memory.tokens.scope,
        "refreshToken": memory.tokens.refresh_token is not None,
        "tools": [one.name for one in tools],
        "isError": bool(result.is_error),
        "text": "\n".join(part.text for part in result.content if part.type == "text"),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))

"""The Python SDK's client, headless: discovers, registers, lets a browser consent, calls one tool.

    BROWSER=… python client.py <mcp-url> <2025-11-25|2026-07-28> [tool] [arguments as JSON]

Prints one line of JSON with what it saw. The exit code says whether it worked.
"""

import asyncio
import json
import os
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

MODES = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}


class Memory(TokenStorage):
    """Keeps everything in memory; one run, one registration."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Callback:
    """Waits on a loopback port of its own for the authorization response."""

    def __init__(self) -> None:
        self.response: asyncio.Future[dict[str, list[str]]] = asyncio.get_running_loop().create_future()
        self.authorizations = 0

    async def listen(self) -> str:
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/callback"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readline()).split(b" ")[1].decode()
        while (await reader.readline()).strip():
            pass
        found = urlsplit(target).path == "/callback"
        status = "200 OK" if found else "404 Not Found"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        if found and not self.response.done():
            self.response.set_result(parse_qs(urlsplit(target).query))

    async def open_browser(self, url: str) -> None:
        self.authorizations += 1
        subprocess.Popen([os.environ["BROWSER"], url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def wait(self) -> AuthorizationCodeResult:
        query = await asyncio.wait_for(self.response, 60)
        first = {name: values[0] for name, values in query.items()}
        if "code" not in first:
            raise RuntimeError(f"the authorization response is an error: {first.get('error')}")
        return AuthorizationCodeResult(code=first["code"], state=first.get("state"), iss=first.get("iss"))


async def main(url: str, revision: str, tool: str | None = None, given: str = "{}") -> None:
    callback, memory = Callback(), Memory()
    metadata = OAuthClientMetadata(
        client_name=f"Python SDK {revision}",
        redirect_uris=[await callback.listen()],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=metadata,
        storage=memory,
        redirect_handler=callback.open_browser,
        callback_handler=callback.wait,
    )
    async with create_mcp_http_client(auth=provider) as http_client:
        transport = streamable_http_client(url, http_client=http_client)
        async with Client(transport, mode=MODES[revision]) as client:
            tools = (await client.list_tools()).tools
            name = tool or tools[0].name
            result = await client.call_tool(name, json.loads(given))
            protocol_version = client.protocol_version
    assert memory.client and memory.tokens
    seen = {
        "sdk": "python",
        "protocolVersion": protocol_version,
        "clientId": memory.client.client_id,
        "scope": memory.tokens.scope,
        "refreshToken": memory.tokens.refresh_token is not None,
        "authorizations": callback.authorizations,
        "tools": [one.name for one in tools],
        "tool": name,
        "isError": bool(result.is_error),
        "text": "\n".join(part.text for part in result.content if part.type == "text"),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""A client of the Python SDK's first line, headless: discovers, registers, lets a browser consent, calls one tool.

    BROWSER=… python client_v1.py <mcp-url> <revision> [tool] [arguments as JSON]

Which revision is spoken is the SDK's own choice, and is printed. Prints one line of JSON with what it saw. The exit code
says whether it worked.
"""

import asyncio
import json
import os
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import httpx
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken


class Memory(TokenStorage):
    """Keeps everything in memory; one run, one registration."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None
        self.saved = 0

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.saved += 1
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

    async def wait(self) -> tuple[str, str | None]:
        query = await asyncio.wait_for(self.response, 60)
        if "code" not in query:
            raise RuntimeError(f"the authorization response is an error: {query.get('error')}")
        return query["code"][0], query.get("state", [None])[0]


async def main(url: str, revision: str, tool: str | None = None, given: str = "{}") -> None:
    callback, memory = Callback(), Memory()
    metadata = OAuthClientMetadata(
        client_name=f"Python SDK, first line, {revision}",
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
    async with (
        httpx.AsyncClient(auth=provider, follow_redirects=True, timeout=30) as http_client,
        streamable_http_client(url, http_client=http_client) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        opened = await session.initialize()
        tools = (await session.list_tools()).tools
        name = tool or tools[0].name
        before = memory.saved
        # The SDK refreshes by its own clock: the token's time is over.
        provider.context.token_expiry_time = 1
        result = await session.call_tool(name, json.loads(given))
    assert memory.client and memory.tokens
    seen = {
        "sdk": "python-v1",
        "protocolVersion": opened.protocolVersion,
        "clientId": memory.client.client_id,
        "scope": memory.tokens.scope,
        "refreshToken": memory.tokens.refresh_token is not None,
        "refreshes": memory.saved - before,
        "authorizations": callback.authorizations,
        "tools": [one.name for one in tools],
        "tool": name,
        "isError": result.isError,
        "text": "\n".join(part.text for part in result.content if part.type == "text"),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

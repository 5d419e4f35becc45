"""The MCP server by its official client: over HTTP of both eras, and over stdio."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ResourceLink, TextContent

from tests.app.http.test_server import TEXTS, add, settings_over
from tests.app.http.test_stream import listening
from tests.conftest import RAGLINE, Stack

pytestmark = pytest.mark.anyio


def text_of(result: CallToolResult) -> str:
    assert not result.is_error, result
    [said] = [part.text for part in result.content if isinstance(part, TextContent)]
    return said


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_agent_asks_searches_lists_and_reads(stack: Stack, tmp_path: Path, mode: Any) -> None:
    async with listening(settings_over(stack, tmp_path)) as http:
        for identity, text in TEXTS.items():
            await add(http, identity, text, title=identity.title())
        async with Client(f"{str(http.base_url).rstrip('/')}/mcp", mode=mode) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            asked = await client.call_tool("ask", {"question": "Who replaced pump P-17?"})
            found = await client.call_tool("search", {"query": "lighthouse", "top_n": 1})
            listed = await client.call_tool("list_documents", {})
            read = await client.call_tool("read_document", {"document_id": "pump", "start": 5, "end": 9})
            near = await client.call_tool("similar", {"document_id": "pump", "top_n": 1})
            wrong = await client.call_tool("read_document", {"document_id": "none"})
            links = [part for part in asked.content if isinstance(part, ResourceLink)]
            linked = await client.read_resource(links[0].uri)
    assert set(tools) == {"ask", "search", "list_documents", "read_document", "similar"}
    assert text_of(near).split("  ")[0] in {"leave", "tower"}
    assert all(tool.output_schema for tool in tools.values())
    assert "Ana Ruiz" in text_of(asked)
    assert asked.structured_content is not None
    assert asked.structured_content["citations"][0]["verified"] is True
    assert [link.name for link in links] == ["Pump"]
    assert linked.contents[0].text == TEXTS["pump"]  # type: ignore[union-attr]  # a text, not a blob
    assert TEXTS["tower"] in text_of(found)
    assert [line.split("  ")[0] for line in text_of(listed).splitlines()] == ["leave", "pump", "tower"]
    assert (text_of(read), (read.structured_content or {})["characters"]) == ("P-17", len(TEXTS["pump"]))
    assert wrong.is_error
    assert "no document 'none'" in str(wrong.content)


async def test_an_empty_search_says_so(stack: Stack, tmp_path: Path) -> None:
    async with listening(settings_over(stack, tmp_path)) as http:
        await add(http, "pump", TEXTS["pump"])
        async with Client(f"{str(http.base_url).rstrip('/')}/mcp") as client:
            await http.delete("/documents/pump")
            assert text_of(await client.call_tool("list_documents", {})) == "No results found."


async def test_agents_need_the_key(stack: Stack, tmp_path: Path) -> None:
    server = {"api_key": "secret", "oauth_issuers": ["https://login.example"]}
    async with listening(settings_over(stack, tmp_path, server=server)) as http:
        address = f"{str(http.base_url).rstrip('/')}/mcp"
        assert (await http.post("/mcp", json={})).status_code == 401
        about = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
        async with (
            httpx2.AsyncClient(headers={"Authorization": "Bearer secret"}, timeout=60) as keyed,
            Client(streamable_http_client(address, http_client=keyed)) as client,
        ):
            result = await client.call_tool("list_documents", {"collection": "none"})
    assert (about["resource"], about["authorization_servers"]) == (address, ["https://login.example"])
    assert "no collection 'none'" in str(result.content), "the key was passed on"


async def test_an_agent_on_this_machine_asks_over_stdio(stack: Stack) -> None:
    server = StdioServerParameters(command=str(RAGLINE), args=["mcp"], env=stack.env, cwd=stack.folder)
    async with Client(server) as client:
        result = await client.call_tool("search", {"query": "anything", "collection": "no-such-collection"})
    assert "no collection 'no-such-collection'" in str(result.content)

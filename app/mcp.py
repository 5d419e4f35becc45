"""The MCP server: what agents may do with the documents, as tools over the HTTP API.

`ragline mcp` serves it over stdio, for a client on this machine, and the orchestrator at /mcp (streamable HTTP, without
sessions, so that any replica answers). Both speak the protocol of 2026-07-28 and those before it.
"""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote, unquote

import httpx2
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, ResourceLink, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from app.http.schema import AskOut, DocumentPage, SearchOut, SimilarPage, TextOut
from services import __version__
from services.protocol import current_request_id

Collection = Annotated[str, Field(description="Empty: the server's default.")]
NOTHING = "No results found."
MAX_CHARS = 20_000
"""Of one reading: about 5,000 tokens of the agent's context."""
DEFAULT = "-"
"""Stands in a document's address for the server's default collection."""
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)


def server_over(http: httpx2.AsyncClient) -> MCPServer:
    """Return the server whose tools ask ragline's API by `http`."""
    server = MCPServer(
        name="ragline",
        version=__version__,
        instructions="Answers questions from the user's own documents, with citations that were checked. Use `ask` for "
        "an answer, `search` for passages, and `read_document` to read on where a passage ends.",
        log_level="WARNING",
    )

    @server.tool(annotations=_READS)
    async def ask(
        question: Annotated[str, Field(description="In full: nothing is known of the conversation.")],
        collection: Collection = "",
    ) -> Annotated[CallToolResult, AskOut]:
        """Answer a question from the documents, with citations; says so where they do not hold the answer."""
        said = AskOut.model_validate(await _sent(http, "POST", "/ask", question=question, collection=collection))
        cited = {citation.index for citation in said.citations}
        sources = [source for source in said.sources if source.index in cited or not cited]
        listed = [f"[{source.index}] {source.title or source.url}" for source in sources]
        return _result("\n".join([said.answer, "", *listed]), said, collection, sources)

    @server.tool(annotations=_READS)
    async def search(
        query: str,
        collection: Collection = "",
        top_n: Annotated[int, Field(ge=1, le=50, description="Passages to return.")] = 10,
    ) -> Annotated[CallToolResult, SearchOut]:
        """Find the passages of the documents that answer a query, best first."""
        body = {"query": query, "collection": collection, "top_n": top_n}
        found = SearchOut.model_validate(await _sent(http, "POST", "/search", **body))
        texts = [f"[{hit.index}] {hit.heading or hit.title}\n{hit.text}" for hit in found.results]
        return _result("\n\n".join(texts) or NOTHING, found, collection, found.results)

    @server.tool(annotations=_READS)
    async def list_documents(
        collection: Collection = "",
        cursor: Annotated[str, Field(description="`next_cursor` of the page before.")] = "",
    ) -> Annotated[CallToolResult, DocumentPage]:
        """List the documents, a hundred a page."""
        page = DocumentPage.model_validate(await _sent(http, "GET", "/documents", collection=collection, cursor=cursor))
        listed = [f"{each.id}  {each.title or each.url}" for each in page.documents]
        return _result("\n".join(listed) or NOTHING, page, collection)

    @server.tool(annotations=_READS)
    async def read_document(
        document_id: str,
        collection: Collection = "",
        start: Annotated[int, Field(ge=0, description="In characters.")] = 0,
        end: Annotated[int | None, Field(ge=0, description="At most 20,000 after `start`.")] = None,
        page: Annotated[int | None, Field(ge=1, description="This page instead of start and end.")] = None,
    ) -> Annotated[CallToolResult, TextOut]:
        """Read a document's text, by page or by offsets, as `start` and `end` of a source say them."""
        most = start + MAX_CHARS
        part = {"collection": collection, "start": start, "end": min(most if end is None else end, most), "page": page}
        path = f"/documents/{quote(document_id, safe='')}/text"
        read = TextOut.model_validate(await _sent(http, "GET", path, **part))
        return _result(read.text or NOTHING, read, collection)

    @server.tool(annotations=_READS)
    async def similar(
        document_id: str,
        collection: Collection = "",
        top_n: Annotated[int, Field(ge=1, le=50, description="Documents to return.")] = 5,
    ) -> Annotated[CallToolResult, SimilarPage]:
        """Find the documents that resemble one, best first."""
        path = f"/documents/{quote(document_id, safe='')}/similar"
        page = SimilarPage.model_validate(await _sent(http, "GET", path, collection=collection, top_n=top_n))
        listed = [f"{each.document.id}  {each.document.title or each.document.url}" for each in page.results]
        return _result("\n".join(listed) or NOTHING, page, collection)

    @server.resource("ragline://{collection}/{document_id}", mime_type="text/plain")
    async def document(collection: str, document_id: str) -> str:
        """The text of a document, its first 100,000 characters."""
        path = f"/documents/{quote(unquote(document_id), safe='')}/text"
        return str((await _sent(http, "GET", path, collection=collection.removeprefix(DEFAULT)))["text"])

    return server


async def _sent(http: httpx2.AsyncClient, method: str, path: str, **fields: Any) -> dict[str, Any]:
    """Return the API's answer. Raises ToolError with its message, which the agent is to read."""
    given = {name: value for name, value in fields.items() if value not in ("", None)}
    request_id = current_request_id.get()
    headers = {"X-Request-Id": request_id} if request_id else {}
    try:
        if method == "GET":
            response = await http.get(path, params=given, headers=headers)
        else:
            response = await http.post(path, json=given, headers=headers)
    except httpx2.TransportError as exc:
        raise ToolError(f"no ragline answers at {http.base_url}; start it with `ragline up`") from exc
    if response.is_error:
        raise ToolError(response.json()["error"]["message"])
    return dict(response.json())


def _result(text: str, structured: BaseModel, collection: str, sources: Sequence[Any] = ()) -> CallToolResult:
    links = [
        ResourceLink(
            type="resource_link",
            uri=f"ragline://{collection or DEFAULT}/{quote(source.document_id, safe='')}",
            name=source.title or source.url or source.document_id,
            mime_type="text/plain",
        )
        for source in {each.document_id: each for each in sources}.values()
    ]
    said = TextContent(type="text", text=text)
    return CallToolResult(content=[said, *links], structured_content=structured.model_dump(mode="json"))

"""The tools over the Model Context Protocol: the official SDK on stdin and stdout."""

from __future__ import annotations

import functools
from importlib import import_module
from importlib.metadata import version
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from runlore.integrations.mcp.calling import INSTRUCTIONS, call, schemas
from runlore.integrations.mcp.tools import TOOLS
from runlore.query import Client
from runlore.schemas import RunloreError


def serve(client: Client) -> None:
    """Answer the client at the other end of stdin and stdout until it closes them.

    Raises ModuleNotFoundError without the `mcp` extra.
    """
    server, stdio = server_of(client), import_module("mcp.server.stdio")

    async def run() -> None:
        async with stdio.stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(run)


def server_of(client: Client) -> Any:
    """Return a server of the SDK that answers from a client."""
    lowlevel, types = import_module("mcp.server.lowlevel"), import_module("mcp.types")
    listed = types.ListToolsResult(tools=[_listed(types, name) for name in TOOLS])

    async def list_tools(_: Any, __: Any) -> Any:
        return listed

    async def call_tool(_: Any, asked: Any) -> Any:
        work = functools.partial(call, client, asked.name, asked.arguments or {})
        try:
            answer = await anyio.to_thread.run_sync(work)
        except RunloreError as error:
            return types.CallToolResult(content=[_text(types, str(error))], is_error=True)
        text = msgspec.json.encode(answer).decode()  # for clients that know no structured content
        return types.CallToolResult(content=[_text(types, text)], structured_content=answer)

    return lowlevel.Server(
        "runlore",
        version=version("runlore"),
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _text(types: Any, text: str) -> Any:
    return types.TextContent(type="text", text=text)


def _listed(types: Any, name: str) -> Any:
    arguments, answer = schemas(TOOLS[name])
    return types.Tool(
        name=name,
        description=TOOLS[name].description,
        input_schema=arguments,
        output_schema=answer,
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )

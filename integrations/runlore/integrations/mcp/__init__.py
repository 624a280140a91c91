"""A read-only MCP server over the query library: `runlore mcp`."""

"""Which extra brings a package that is missing here."""

from __future__ import annotations

from importlib.util import find_spec

EXTRA_OF = {
    "click": "cli",
    "rich": "cli",
    "dateparser": "query",
    "lark": "query",
    "cryptography": "projector",
    "prometheus_client": "projector",
    "sqlite_utils": "projector",
    "structlog": "projector",
    "jinja2": "dashboard",
    "plotly": "dashboard",
    "sse_starlette": "dashboard",
    "starlette": "dashboard",
    "uvicorn": "dashboard",
    "mlflow": "mlflow",
    "mcp": "mcp",
}
"""Modules of the optional packages, each with the extra to install."""
_OF_COMMAND = {"up": "local", "demo": "local", "audit": "audit"}
"""Commands that need more than the missing package's extra, or less."""


def advice(command: str, module: str) -> str:
    """Return what a command needs, and how to install it."""
    top = module.partition(".")[0]
    extra = _OF_COMMAND.get(command) or EXTRA_OF.get(top, "local")
    return f"`runlore {command}` needs {top}: pip install 'runlore[{extra}]'"


def require_projector(command: str) -> None:
    """Raise ModuleNotFoundError where no projector can be started: better now than in its log."""
    missing = next((name for name, of in EXTRA_OF.items() if of == "projector" and find_spec(name) is None), None)
    if missing is not None:
        raise ModuleNotFoundError(advice(command, missing), name=missing)

"""Every `runlore …` that a message, a help text, a page or a document names is a command that exists, with its options."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from runlore.cli.app import app

ROOT = Path(__file__).parents[2]
ROOMS = (
    "face",
    "schemas",
    "store",
    "wire",
    "integrations",
    "producer",
    "projector",
    "query",
    "dashboard",
    "cli",
    "examples",
    "benchmarks",
    "docs",
)
PAGES = ("README.md", "compose.yaml", "Makefile", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

_SPAN = re.compile(r"`(?:\.venv/bin/)?runlore(?: ([^`]*))?`")
# A line of a shell, in a block of code: perhaps behind variables, a pipe, or another program's words.
_LINE = re.compile(
    r"^ *(?:\$ |#?.*<pre>|.*docker compose exec \w+ |.*\| |\$\(BIN\)/)?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?runlore ([a-z].*)$",
    re.MULTILINE,
)

# What a program says it is, a name that is filled in, an arrow in a drawing.
_OTHER = re.compile(r"\d+\.\d+|X$|%\(|\w+ ─▶")


def texts() -> Iterator[tuple[str, str]]:
    """Where, and what: strings of the source, and whole pages."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (p.value if isinstance(p, ast.Constant) else "X" for p in node.values)
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value
        for path in sorted((ROOT / room).rglob("*.html")):
            yield str(path.relative_to(ROOT)), path.read_text()
    for page in PAGES:
        yield page, (ROOT / page).read_text()


def named() -> list[tuple[str, str]]:
    """Where, and the words behind `runlore`; each pair once."""
    found: list[tuple[str, str]] = []
    for place, text in texts():
        lines = (match for match in _LINE.finditer(text.replace("\\\n", " ")))
        if ".py:" in place:  # in strings the examples are indented, and sentences are not
            lines = (match for match in lines if match[0].startswith("  "))
        found += [(place, match[1] or "") for match in (*_SPAN.finditer(text), *lines)]
    return [(place, words) for place, words in dict.fromkeys(found) if not _OTHER.match(words)]


def check(words: list[str]) -> None:
    """Raise click's error for a command or option that does not exist, or more arguments than it takes."""
    command: click.Command = app
    context = click.Context(app, info_name="runlore")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, inner, words = command.resolve_command(context, words)
        assert inner is not None
        command, context = inner, click.Context(inner, info_name=name, parent=context)
    _, rest, _ = command.make_parser(context).parse_args(list(words))
    assert not rest, f"{rest} is more than `{context.command_path}` takes"


def command_words(text: str) -> list[str]:
    """What one command is given: without what follows it in the shell, and without a comment."""
    lexer = shlex.shlex(text.split("</pre>")[0], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            break
        words.append(word)
    return words


def test_every_command_that_is_named_exists_with_its_options() -> None:
    wrong: list[str] = []
    for place, text in named():
        try:
            check(command_words(text))
        except (click.UsageError, AssertionError, ValueError) as error:
            wrong.append(f"{place}: runlore {text}: {error}")
    assert wrong == []


def test_the_check_finds_what_does_not_exist() -> None:
    assert len(named()) > 100
    for text in ("outbox drain --retry", "verify", "outbox empty", "show a b", "audit verify --quick"):
        with pytest.raises((click.UsageError, AssertionError)):
            check(command_words(text))

"""The grammar at work: lark's tree of a filter, or an error that points at the column and says what fits there."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, cast

from runlore.schemas.errors import FilterError, RunloreError

_EXPECTED: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"KEY"}), "a key"),
    (frozenset({"NUMBER", "TEXT", "QUOTED", "WORD", "TIME"}), "a value: a number, 'text', true, false, null or a time"),
    (frozenset({"OP"}), "a comparison (= != < <= > >= in like contains exists)"),
    (frozenset({"AND", "OR"}), "'and', 'or'"),
    (frozenset({"IN"}), "'in', 'like' or 'contains'"),
    (frozenset({"LPAR"}), "'('"),
    (frozenset({"COMMA"}), "','"),
    (frozenset({"RPAR"}), "')'"),
    (frozenset({"$END"}), "the end"),
)
"""Names of the grammar's terminals in error messages."""

_LISTING = re.compile(r"\bin\s*\([^()]*\Z", re.IGNORECASE)
"""Inside the values of an `in`: there alone a comma may follow."""


def syntax_tree(text: str) -> Any:
    """The tree of a filter by the rules of ``grammar.lark``. Raises FilterError."""
    try:
        from lark.exceptions import UnexpectedCharacters, UnexpectedToken
    except ModuleNotFoundError as error:
        raise RunloreError("filters need lark: pip install 'runlore[query]'") from error

    try:
        return _grammar().parse(text)
    except UnexpectedToken as error:
        token: Any = error.token
        at = len(text.rstrip()) if token.type == "$END" else int(token.start_pos)
        raise _unexpected(text, at, error.accepts or error.expected) from None
    except UnexpectedCharacters as error:
        raise _unexpected(text, int(cast(Any, error).pos_in_stream or 0), error.allowed or ()) from None


@functools.lru_cache(1)
def _grammar() -> Any:
    from lark import Lark  # 30 ms: only who filters pays for it

    return Lark(
        files("runlore.query.find").joinpath("grammar.lark").read_text(encoding="utf-8"),
        parser="lalr",
        maybe_placeholders=True,
    )


def _unexpected(text: str, at: int, expected: Iterable[str]) -> FilterError:
    rest, names = text[at:], set(expected)
    if text.count("(", 0, at) <= text.count(")", 0, at):
        names.discard("RPAR")
        if "AND" in names:
            names.add("$END")  # what is no token at all could have been left out
    if not _LISTING.search(text[:at]):
        names.discard("COMMA")
    if "OP" in names:
        names.discard("IN")  # named with the comparisons
    found = [words for terminals, words in _EXPECTED if terminals & names]
    wanted = " or ".join(filter(None, [", ".join(found[:-1]), *found[-1:]])) or "something else"
    return FilterError(f"expected {wanted}{_hint(rest, names)}", text, at + 1)


def _hint(rest: str, names: set[str]) -> str:
    if rest[:1] in ("'", '"') and rest.count(rest[0]) == 1:
        return " (the quoted text does not end)"
    if "TEXT" in names and rest[:1].isalpha():
        return " (text is in quotes)"
    if names == {"RPAR"} and re.match(r"(and|or)\b", rest, re.IGNORECASE):
        return " (one condition: ever(a > 1) and ever(b > 1))"
    return ""

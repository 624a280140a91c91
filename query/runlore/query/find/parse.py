"""From the text of a filter to its tree; errors point at the column and say what was expected."""

from __future__ import annotations

import functools
import re
from typing import Any, cast

from runlore.query.find import ast, literals, zenml
from runlore.query.find.checks import check
from runlore.query.find.syntax import syntax_tree
from runlore.schemas.errors import FilterError, InvalidReferenceError
from runlore.schemas.paths import parse_path

MAX_LENGTH = 20_000
"""Characters of a filter."""
MAX_CONDITIONS = 200
"""Conditions of a filter, and literals of one `in`: SQLite's own limits are never met."""
MAX_DEPTH = 50
"""Levels of parentheses and `not` in the text."""
MAX_LEVELS = 10
"""Levels of `and`, `or` and `not` that mean something: SQLite's parser holds no more around the longest condition."""

_PLAIN_KEY = re.compile(r"[a-zA-Z_]\w*(?:\.\w+)*")

Filters = str | list[str] | tuple[str, ...]


def parse(where: Filters | None) -> ast.Expression | None:
    """The tree of a filter, or of several that must all hold; None for no condition. Raises FilterError."""
    if where is None:
        return None
    texts = [where] if isinstance(where, str) else where
    untyped: Any = texts  # callers are
    if not isinstance(untyped, (list, tuple)) or not all(isinstance(text, str) for text in cast(list[Any], untyped)):
        raise FilterError(f"a filter is a text or a list of texts, not {where!r:.80}")
    items = [item for item in map(_one, texts) if item is not None]
    if not items:
        return None
    whole = ast.all_of(items)
    if ast.depth(whole) > MAX_LEVELS:
        raise FilterError(f"at most {MAX_LEVELS} levels of 'and', 'or' and 'not' inside each other")
    if ast.count(whole) > MAX_CONDITIONS:
        raise FilterError(f"at most {MAX_CONDITIONS} conditions in all filters together")
    return whole


def parse_key(text: str) -> ast.Key:
    """A key on its own, such as what to order by. Raises FilterError."""
    if _PLAIN_KEY.fullmatch(text):
        return ast.Key(parse_path(text))
    tree = syntax_tree(text)
    if {part.data for part in tree.iter_subtrees()} != {"start", "any", "all", "plain", "bare"}:
        raise FilterError("expected a key, such as accuracy or metrics.loss", text, 1)
    found = _Reader(text).read()
    assert isinstance(found, ast.Compare)
    return found.key


@functools.lru_cache(500)
def _one(text: str) -> ast.Expression | None:
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH:,} characters, this one {len(text):,}")
    if not text.strip():
        return None
    return zenml.parse(text) or _Reader(text).read()


class _Reader:
    """Makes the tree of one text from lark's."""

    def __init__(self, text: str) -> None:
        self._text, self._conditions = text, 0

    def read(self) -> ast.Expression:
        return self._any(syntax_tree(self._text).children[0], 0)

    def _error(self, problem: str, token: Any) -> FilterError:
        return FilterError(problem, self._text, token.start_pos + 1)

    def _any(self, tree: Any, depth: int) -> ast.Expression:
        items = tuple(self._all(part, depth) for part in _rules(tree))
        return items[0] if len(items) == 1 else ast.Or(items)

    def _all(self, tree: Any, depth: int) -> ast.Expression:
        return ast.all_of([self._not(part, depth) for part in _rules(tree)])

    def _not(self, tree: Any, depth: int) -> ast.Expression:
        inner = tree.children[-1]
        if depth > MAX_DEPTH:
            raise FilterError(f"at most {MAX_DEPTH} levels of parentheses and 'not'", self._text, 1)
        match tree.data:
            case "not_":
                return ast.Not(self._not(inner, depth + 1))
            case "group":
                return self._any(inner, depth + 1)
            case "ever":
                return ast.Ever(self._condition(inner))
            case _:
                return self._condition(inner)

    def _condition(self, tree: Any) -> ast.Condition:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise FilterError(f"at most {MAX_CONDITIONS} conditions", self._text, 1)
        tokens = [child for child in tree.children if child is not None]
        name = next(token for token in tokens if getattr(token, "type", "") == "KEY")
        values = _rules(tree)
        key, found = self._key(name), tuple(map(self._literal, values))
        made = _build(tree.data, key, tokens, found)
        if isinstance(made, str):
            raise self._error(made, values[0].children[0])
        if len(found) > MAX_CONDITIONS:
            raise self._error(f"at most {MAX_CONDITIONS} values", values[MAX_CONDITIONS].children[0])
        checked = check(made)
        if isinstance(checked, str):
            raise self._error(checked, values[0].children[0] if values else name)
        return checked

    def _key(self, token: Any) -> ast.Key:
        try:
            return ast.Key(parse_path(str(token)), '"' in token)
        except InvalidReferenceError as error:
            raise self._error(str(error), token) from error

    def _literal(self, tree: Any) -> ast.Literal:
        token, unit = tree.children[0], tree.children[1] if len(tree.children) > 1 else None
        text = str(token)
        try:
            match token.type:
                case "NUMBER":
                    return literals.number(text, str(unit or ""))
                case "TIME":
                    moment = literals.time(text)
                    if moment is None:
                        raise ValueError("a time such as 2026-03-01T18:00Z")
                    return moment
                case "WORD":
                    return literals.word(text)
                case _:
                    return literals.unquoted(text)
        except ValueError as error:
            raise self._error(f"expected {error}", token) from error


def _rules(tree: Any) -> list[Any]:
    return [child for child in tree.children if hasattr(child, "data")]


def _build(rule: str, key: ast.Key, tokens: list[Any], values: tuple[ast.Literal, ...]) -> ast.Condition | str:
    """The condition of a grammar rule, or what is wrong with its value."""
    negated = any(getattr(token, "type", "") == "NOT" for token in tokens)
    match rule:
        case "compare":
            op = {"==": "=", "<>": "!="}.get(str(tokens[1]), str(tokens[1]))
            return ast.Compare(key, op, values[0])
        case "in_":
            return ast.In(key, values, negated)
        case "like":
            pattern = values[0]
            if not isinstance(pattern, str):
                return "expected a text such as 'resnet%'"
            return ast.Matches(key, zenml.glob_of_like(pattern), negated)
        case "contains":
            return ast.Contains(key, values[0], negated)
        case "exists":
            return ast.Exists(key)
        case _:
            return ast.Compare(key, "=", True)

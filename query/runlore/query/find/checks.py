"""Checks beyond the grammar, and fields with comparisons of their own."""

from __future__ import annotations

from runlore.query.find import ast, literals

ENTITY_FIELDS = frozenset({"name", "version", "run", "step", "pipeline", "created"})
"""Names that are read from the entity itself or from what it is linked to."""
ONLY_FIELDS = frozenset({"stage", "status"})
"""Names that always mean the field; any other name means a key or a field, whichever there is."""


def entity_field(key: ast.Key) -> str | None:
    """The entity's own field that a key means, if it does."""
    return key.parts[0] if len(key.parts) == 1 and not key.quoted and key.parts[0] in ENTITY_FIELDS else None


def check(condition: ast.Condition) -> ast.Condition | str:
    """The condition as it will run, or what its value should have been."""
    field = entity_field(condition.key)
    if field == "created":
        return _created(condition)
    match condition:
        case ast.Compare(_, op, bool() | None) if op not in ("=", "!="):
            return "expected a value that has an order: a number, 'text' or a time"
        case ast.Contains(_, ast.Time() | ast.Duration()):
            return "expected a text, a number, true, false or null"
        case ast.Compare(key, "=" | "!=" as op, ast.NumberLiteral(int(number))) if field == "version":
            return ast.Compare(key, op, str(number))
        case ast.In(key, values, negated) if field == "version":
            return ast.In(key, tuple(map(_version, values)), negated)
        case _:
            return condition


def _version(value: ast.Literal) -> ast.Literal:
    return str(value.value) if isinstance(value, ast.NumberLiteral) and isinstance(value.value, int) else value


def _created(condition: ast.Condition) -> ast.Condition | str:
    wrong = "expected a time such as 2026-03-01 or 2026-03-01T18:00Z: `created` is compared with times"
    match condition:
        case ast.Exists():
            return condition
        case ast.Compare(key, op, value):
            moment = _time(value)
            return wrong if moment is None else ast.Compare(key, op, moment)
        case ast.In(key, values, negated):
            moments = [moment for moment in map(_time, values) if moment is not None]
            return ast.In(key, tuple(moments), negated) if len(moments) == len(values) else wrong
        case _:
            return wrong


def _time(value: ast.Literal) -> ast.Time | None:
    if isinstance(value, str):
        return literals.time(value)
    return value if isinstance(value, ast.Time) else None

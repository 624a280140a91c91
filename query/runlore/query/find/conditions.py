"""One stored value against one condition, as SQL over the columns `type` and `value` of a row.

Each condition becomes alternatives; the seekable part of each comes first, so that it can also drive a search
through the index on (path_id, value, type). ``{v}`` and ``{t}`` stand for the two columns.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from runlore.query.find import ast, literals
from runlore.query.time.moment import EPOCH
from runlore.query.view.functions import COMPARE
from runlore.query.view.value_index import INDEXED
from runlore.schemas.names import is_unicode
from runlore.schemas.values import encode_value
from runlore.store.cells import ENDED_SQL

NUMBERS = "('int', 'float', 'StorageSize')"
TEXTS = "('str', 'Uri', 'Path', 'DType', 'uuid')"
COLLECTIONS = "('list', 'tuple', 'set', 'frozenset')"
_I64 = 2**63


class Binder:
    """Collects the parameters of a statement: every literal and every name travels as one."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, value: Any) -> str:
        if isinstance(value, str) and not is_unicode(value):
            value = value.encode("utf-8", "surrogatepass")  # as cells hold it
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f":{name}"


class Branch(NamedTuple):
    """One alternative: SQL, and whether every value that fits it is in the index."""

    sql: str
    indexed: bool


def row_sql(condition: ast.Condition, bind: Binder, value: str, kind: str) -> str:
    """Return whether a live row's value fits; `value` and `kind` are the SQL of its columns."""
    tests = [branch.sql.format(v=value, t=kind) for branch in branches(condition, bind)]
    joined = " OR ".join(f"({test})" for test in tests) or "0"
    live = f"{kind} NOT IN {ENDED_SQL}"
    if _negated(condition):
        return f"({live} AND NOT ({joined}))"
    return f"({live})" if isinstance(condition, ast.Exists) else f"({joined})"


def drivers(condition: ast.Condition, bind: Binder) -> list[Branch] | None:
    """The alternatives as they can search an index on values; None when it has no place for them."""
    if _negated(condition) or isinstance(condition, ast.Exists):
        return None
    return [Branch(branch.sql.format(v="h.value", t="h.type"), branch.indexed) for branch in branches(condition, bind)]


def _negated(condition: ast.Condition) -> bool:
    if isinstance(condition, ast.Compare):
        return condition.op == "!="
    return not isinstance(condition, ast.Exists) and condition.negated


def branches(condition: ast.Condition, bind: Binder) -> list[Branch]:
    """The alternatives of a condition, as if it were not negated; none when nothing can fit."""
    match condition:
        case ast.Compare(_, op, value):
            return _compare("=" if op == "!=" else op, (value,), bind)
        case ast.In(_, values):
            return _compare("=", values, bind)
        case ast.Matches(_, glob):
            return [Branch(f"{{t}} IN {TEXTS} AND CAST({{v}} AS TEXT) GLOB CAST({bind(glob)} AS TEXT)", False)]
        case ast.Contains(_, value):
            return _contains(value, bind)
        case ast.Exists():
            return []


def _contains(value: ast.Literal, bind: Binder) -> list[Branch]:
    plain = value.value if isinstance(value, (ast.NumberLiteral, ast.Duration)) else value
    found: list[Branch] = []
    if isinstance(value, str):
        found.append(Branch(f"instr({{v}}, {bind(value)}) > 0 AND {{t}} IN {TEXTS}", False))
    holds = f"{{t}} IN {COLLECTIONS} AND runlore_holds({{t}}, {{v}}, {bind(encode_value(plain))})"
    return [*found, Branch(holds, False)]


def _compare(op: str, values: tuple[ast.Literal, ...], bind: Binder) -> list[Branch]:
    numbers = [value for value in values if isinstance(value, ast.NumberLiteral)]
    durations = [ast.NumberLiteral(value.value, decimal.Decimal(value.value)) for value in _of(values, ast.Duration)]
    texts = [value for value in values if isinstance(value, str)]
    moments = [*_of(values, ast.Time), *(moment for moment in map(literals.time, texts) if moment is not None)]
    found = [*_numbers(op, numbers, NUMBERS, ("int", "StorageSize", "decimal"), bind)]
    found += _numbers(op, durations, "('timedelta')", ("timedelta",), bind)
    found += _texts(op, texts, bind)
    for moment in moments:
        found += _moment(op, moment, bind)
    for value in values:
        if isinstance(value, bool):
            found.append(Branch(f"{{v}} = {int(value)} AND {{t}} = 'bool'", True))
        elif value is None:
            found.append(Branch("{t} = 'none'", False))  # NULL is not in the index
    return found


def _of(values: Iterable[ast.Literal], kind: type[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, kind)]


def _numbers(
    op: str, numbers: list[ast.NumberLiteral], native: str, as_text: tuple[str, ...], bind: Binder
) -> list[Branch]:
    found: list[Branch] = []
    if op == "=" and any(number.value != number.value for number in numbers):
        found.append(Branch("{v} IN ('nan', 'NaN', 'sNaN', '-NaN', '-sNaN') AND {t} IN ('float', 'decimal')", True))
    numbers = [number for number in numbers if number.value == number.value]
    if not numbers:
        return found
    bounds = [bound for number in numbers if (bound := _bound(op, number.value)) is not None]
    if op == "=" and bounds:
        found.append(Branch(f"{{v}} IN ({', '.join(bind(value) for _, value in bounds)}) AND {{t}} IN {native}", True))
    elif bounds:
        # Numbers come before text in SQLite's order: where the range is open above, text ends it.
        end = "" if op[0] == "<" else " AND {v} < ''"
        found.append(Branch(f"{{v}} {bounds[0][0]} {bind(bounds[0][1])}{end} AND {{t}} IN {native}", True))
    # Decimals, and integers beyond 64 bits, are text: a sign or a digit first. Over 200 characters they never compare.
    kinds = "(" + ", ".join(f"'{kind}'" for kind in as_text) + ")"
    test = f"runlore_number({{v}}, '{op}', {bind(' '.join(str(number.exact) for number in numbers))})"
    found.append(
        Branch(f"{{v}} >= '+' AND {{v}} < ':' AND {{t}} IN {kinds} AND length({{v}}) <= {INDEXED} AND {test}", True)
    )
    if "decimal" in as_text and any(COMPARE[op](math.inf, number.exact) for number in numbers):
        found.append(Branch("{v} = 'Infinity' AND {t} = 'decimal'", True))
    return found


def _bound(op: str, value: int | float) -> tuple[str, int | float] | None:
    """The comparison with what SQLite can hold that says the same of 64-bit integers and floats."""
    if isinstance(value, float) or -_I64 <= value < _I64:
        return op, value
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    if near == value:
        return op, near
    if op == "=":
        return None
    if near > value:
        return (">=" if op[0] == ">" else "<"), near
    return (">" if op[0] == ">" else "<="), near


def _texts(op: str, texts: list[str], bind: Binder) -> list[Branch]:
    if not texts:
        return []
    if op == "=":
        short = all(len(text) <= INDEXED and is_unicode(text) for text in texts)
        return [Branch(f"{{v}} IN ({', '.join(map(bind, texts))}) AND {{t}} IN {TEXTS}", short)]
    start = "{v} >= '' AND " if op[0] == "<" else ""
    return [Branch(f"{start}{{v}} {op} {bind(texts[0])} AND {{t}} IN {TEXTS}", False)]


def _moment(op: str, moment: ast.Time, bind: Binder) -> list[Branch]:
    # ISO texts are in the order of their local times, which are at most a day from UTC.
    low = "{v} >= '+'" if op[0] == "<" else f"{{v}} >= {bind(_day(moment, -2))}"
    high = "{v} < ':'" if op[0] == ">" else f"{{v}} < {bind(_day(moment, 3))}"
    exact = f"runlore_micros({{v}}) {op} {bind(moment.micros)}"
    return [Branch(f"{low} AND {high} AND {{t}} IN ('datetime', 'date') AND {exact}", True)]


def _day(moment: ast.Time, days: int) -> str:
    try:
        return (EPOCH + dt.timedelta(microseconds=moment.micros) + dt.timedelta(days=days)).date().isoformat()
    except OverflowError:
        return "+" if days < 0 else ":"

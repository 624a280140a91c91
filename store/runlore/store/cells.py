# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false
# The values are whatever callers pass: their static types are unknown by nature.
"""Values in SQLite: a type name beside a cell that SQL can compare, and back.

| type                                 | cell                                                        |
|--------------------------------------|-------------------------------------------------------------|
| none                                 | NULL                                                        |
| bool                                 | 0 or 1                                                      |
| int, StorageSize                     | INTEGER; beyond 64 bits TEXT with the digits                |
| float                                | REAL; not-a-number is TEXT ``nan``                          |
| str, Uri, Path, DType, Erased        | TEXT; with lone surrogates a BLOB                           |
| bytes                                | BLOB                                                        |
| datetime, date                       | TEXT, ISO 8601                                              |
| timedelta                            | INTEGER microseconds; beyond 64 bits TEXT                   |
| decimal, uuid                        | TEXT                                                        |
| list, tuple, set, frozenset, dict    | TEXT with JSON where that is exact, else BLOB (MessagePack) |

`text` is a readable form, kept only where the cell itself is not readable (BLOBs of collections).
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from runlore.schemas.extensions import read_datetime
from runlore.schemas.names import is_unicode
from runlore.schemas.special import DType, Erased, Path, StorageSize, Uri
from runlore.schemas.values import decode_value, encode_value

Scalar = str | int | float | bytes | None
Cell = tuple[str, Scalar, str | None]
"""Type name, cell, readable text or None."""

TEXT_LIMIT = 2000
"""Characters of readable text kept beside a BLOB."""

SHORT_CELL = "(typeof(value) IN ('integer', 'real') OR length(value) <= 200)"
"""The cells that the view's indexes by value hold."""

_I64_MIN, _I64_MAX = -(2**63), 2**63 - 1
_MICROSECOND = dt.timedelta(microseconds=1)
_json_encode = msgspec.json.Encoder().encode

ENDED = frozenset({"removed", "retracted"})
"""Types of an entry by which a key ends: they have no value."""
ENDED_SQL = "('removed', 'retracted')"

SOUGHT_IN_HISTORY = (
    f"{SHORT_CELL} AND type NOT IN ('removed', 'retracted', 'bytes', 'list', 'tuple', 'set', 'frozenset', 'dict')"
)
"""The rows of history that are found by value: what no condition compares with a value as a whole is left out."""


def to_cell(value: Any) -> Cell:
    """Return the stored form of a value as the codec decodes it."""
    kind = type(value)
    # The commonest types first, without a second call: this runs for every value of every event.
    if kind is float and value == value:
        return "float", value, None
    if kind is str and value.isascii():
        return "str", value, None
    if kind is int and _I64_MIN <= value <= _I64_MAX:
        return "int", value, None
    return _WRITERS[kind](value)


def reason_cell(reason: str) -> Cell:
    """The cell of a key that was retracted: its reason; a BLOB where that was erased."""
    if isinstance(reason, Erased):
        return "retracted", encode_value(reason), readable(reason)
    return "retracted", reason, None


def read_reason(cell: Any) -> str | None:
    """The reason in the cell of a key that ended, if it has one."""
    found: str | None = decode_value(cell) if isinstance(cell, bytes) else cell
    return found


def from_cell(kind: str, cell: Any) -> Any:
    """The value of a stored cell; the inverse of `to_cell`."""
    return _READERS[kind](cell)


def _int_cell(value: int) -> Scalar:
    return int(value) if _I64_MIN <= value <= _I64_MAX else _digits(value)


def _digits(value: int) -> str:
    # str() refuses ints over 4,300 digits (CVE-2020-10735); hexadecimal has no such limit.
    return hex(value) if value.bit_length() > 10_000 else int.__repr__(value)


def _read_int(cell: Any) -> int:
    return int(cell, 0) if isinstance(cell, str) else int(cell)


def _write_float(value: float) -> Cell:
    return "float", "nan" if value != value else value, None


def _write_str(kind: str) -> Callable[[str], Cell]:
    def write(value: str) -> Cell:
        if value.isascii():
            return kind, str.__str__(value), None
        try:
            value.encode()
        except UnicodeEncodeError:
            readable = value.encode("utf-8", "replace").decode()[:TEXT_LIMIT]
            return kind, value.encode("utf-8", "surrogatepass"), readable
        return kind, str.__str__(value), None

    return write


def _read_str(make: type[str]) -> Callable[[Any], str]:
    return lambda cell: make(cell.decode("utf-8", "surrogatepass") if isinstance(cell, bytes) else cell)


def _write_collection(kind: str) -> Callable[[Any], Cell]:
    def write(value: Any) -> Cell:
        # Sets in the order of the wire: equal sets have equal cells.
        elements = value if kind == "list" else list(value)
        if kind in ("set", "frozenset"):
            elements = sorted(elements, key=encode_value)
        if all(map(_json_exact, elements)):
            return kind, _json_encode(elements).decode(), None
        return kind, encode_value(elements), readable(value)[:TEXT_LIMIT]

    return write


def _write_dict(value: dict[str, Any]) -> Cell:
    if _json_exact(value):
        return "dict", _json_encode(value).decode(), None
    return "dict", encode_value(value), readable(value)[:TEXT_LIMIT]


def _json_exact(value: Any) -> bool:
    """Return whether JSON gives back the same value of the same type."""
    kind: type = type(value)
    if kind is str:
        return value.isascii() or is_unicode(value)
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return bool(_I64_MIN <= value <= _I64_MAX)
    if kind is list:
        return all(map(_json_exact, value))
    if kind is dict:
        return all(map(_json_exact, value.values()))
    return value is None or kind is bool


def readable(value: Any) -> str:
    """One line a person can read; for display, never parsed."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case StorageSize():
            return value.human()
        case Erased():
            return f"erased: {str.__str__(value)}"
        case str():
            return value.encode("utf-8", "replace").decode()
        case int():
            return _digits(value)
        case bytes():
            return value.hex()
        case dict():
            return "{" + ", ".join(f"{key}: {readable(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            opening, closing = "[]" if isinstance(value, list) else "()"
            return opening + ", ".join(map(readable, value)) + closing
        case set() | frozenset():
            # By the texts, which are made once: by the elements' bytes each level would pack all levels below it again.
            return "{" + ", ".join(sorted(map(readable, value), key=_by_length)) + "}"
        case dt.datetime() | dt.date():
            return value.isoformat()
        case _:
            return str(value)


def _by_length(text: str) -> tuple[int, str]:
    return len(text), text


def nearest_float(number: int | float | decimal.Decimal) -> float:
    """The float nearest to a number: infinite beyond all floats, NaN for a signalling one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
    except ValueError:  # only a signalling NaN has no float
        return math.nan


def _read_collection(make: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    return lambda cell: make(decode_value(cell) if isinstance(cell, bytes) else msgspec.json.decode(cell))


_WRITERS: dict[type, Callable[[Any], Cell]] = {
    type(None): lambda value: ("none", None, None),
    bool: lambda value: ("bool", int(value), None),
    int: lambda value: ("int", _int_cell(value), None),
    float: _write_float,
    str: _write_str("str"),
    bytes: lambda value: ("bytes", value, None),
    list: _write_collection("list"),
    tuple: _write_collection("tuple"),
    set: _write_collection("set"),
    frozenset: _write_collection("frozenset"),
    dict: _write_dict,
    dt.datetime: lambda value: ("datetime", value.isoformat(), None),
    dt.date: lambda value: ("date", value.isoformat(), None),
    dt.timedelta: lambda value: ("timedelta", _int_cell(value // _MICROSECOND), None),
    decimal.Decimal: lambda value: ("decimal", str(value), None),
    uuid.UUID: lambda value: ("uuid", str(value), None),
    Uri: _write_str("Uri"),
    Path: _write_str("Path"),
    DType: _write_str("DType"),
    Erased: _write_str("Erased"),
    StorageSize: lambda value: ("StorageSize", _int_cell(value), None),
}

_READERS: dict[str, Callable[[Any], Any]] = {
    "none": lambda cell: None,
    "bool": bool,
    "int": _read_int,
    "float": float,
    "str": _read_str(str),
    "bytes": bytes,
    "list": _read_collection(list),
    "tuple": _read_collection(tuple),
    "set": _read_collection(set),
    "frozenset": _read_collection(frozenset),
    "dict": _read_collection(dict),
    "datetime": read_datetime,
    "date": dt.date.fromisoformat,
    "timedelta": lambda cell: dt.timedelta(microseconds=1) * _read_int(cell),
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    "Uri": _read_str(Uri),
    "Path": _read_str(Path),
    "DType": _read_str(DType),
    "Erased": _read_str(Erased),
    "StorageSize": lambda cell: StorageSize(_read_int(cell)),
}

TYPE_NAMES = frozenset(_READERS)
"""All type names of values. The view uses two more for ends: ``removed`` and ``retracted``."""

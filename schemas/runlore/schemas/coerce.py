# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false
# The values are whatever callers pass: their static types are unknown by nature.
"""Turn what people log into the closed set of types Runlore stores, without importing their libraries.

A step pays nothing for libraries it does not use: `libraries` knows theirs by the module of their class.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import sys
import types
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from runlore.schemas.libraries import LIBRARIES, array_list, class_dtype, plain_datetime
from runlore.schemas.refusal import Unreadable, UnsupportedError, read_part
from runlore.schemas.special import DType, Erased, Path, StorageSize, Uri

_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    # Order matters: the first base that matches wins (datetime is a date, bool is an int).
    (Uri, lambda v: Uri(str.__str__(v))),
    (Path, lambda v: Path(str.__str__(v))),
    (DType, lambda v: DType(str.__str__(v))),
    (Erased, lambda v: Erased(str.__str__(v))),
    (StorageSize, lambda v: StorageSize(int(v))),
    (str, str.__str__),
    (int, int),
    (float, float),
    (bytes, bytes),
    (bytearray, bytes),
    (memoryview, bytes),
    (dt.timedelta, lambda v: dt.timedelta(v.days, v.seconds, v.microseconds)),
    (decimal.Decimal, decimal.Decimal),
    (uuid.UUID, lambda v: uuid.UUID(int=v.int)),
    (list, list),
    (tuple, tuple),
    (frozenset, frozenset),
    (set, set),
    (pathlib.PurePath, lambda v: Path(str(v))),
    (dt.datetime, plain_datetime),
    (dt.date, lambda v: dt.date(v.year, v.month, v.day)),
)


def coerce(value: Any) -> Any:
    """One step towards a stored type; the result may need another.

    Raises UnsupportedError when there is no way, and whatever the value's own code raises.
    """
    kind: type = type(value)
    if kind is Unreadable:
        raise UnsupportedError(value.reason)
    if isinstance(value, type):
        return class_dtype(value)
    library = LIBRARIES.get(kind.__module__.partition(".")[0])
    if library is not None:
        converted = library(value)
        if converted is not value:
            return converted
    if isinstance(value, enum.Enum):
        return value.value
    for base, convert in _BASES:
        if isinstance(value, base):
            return convert(value)
    return _record(value)


def _record(value: Any) -> Any:
    """Objects with named fields become groups."""
    kind: type = type(value)
    if isinstance(value, Mapping):
        return _read(value, value.__getitem__)
    if isinstance(value, msgspec.Struct):
        return _read(value.__struct_fields__, lambda name: getattr(value, name))
    if hasattr(kind, "model_fields") and hasattr(kind, "model_dump"):
        return value.model_dump()  # pydantic.BaseModel
    if hasattr(kind, "__fields__") and hasattr(kind, "parse_obj"):
        return value.dict()  # the same before pydantic 2
    if dataclasses.is_dataclass(kind):
        return _read([field.name for field in dataclasses.fields(kind)], lambda name: getattr(value, name))
    if hasattr(kind, "__attrs_attrs__"):
        return _read([field.name for field in kind.__attrs_attrs__], lambda name: getattr(value, name))
    argparse = sys.modules.get("argparse")  # not imported for this: it would cost every step
    if isinstance(value, types.SimpleNamespace) or (argparse is not None and isinstance(value, argparse.Namespace)):
        return dict(vars(value))
    # Array-likes of other libraries (jax, cupy, ...) that follow numpy's protocol. Asked of the class: a mock has
    # every attribute.
    if hasattr(kind, "tolist") and hasattr(value, "size"):
        return array_list(value)
    raise UnsupportedError(f"type {kind.__module__}.{kind.__qualname__} is not supported")


def _read(names: Iterable[Any], read: Callable[[Any], Any]) -> dict[Any, Any]:
    return {name: read_part(read, name) for name in names}

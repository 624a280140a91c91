# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownLambdaType=false
# The values are whatever callers pass: their static types are unknown by nature.
"""Turn what people log into the closed set of types Runlore stores, without importing their libraries.

Values of numpy, pandas, torch and pydantic are recognised by the module of their class, so a step
pays nothing for libraries it does not use.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from runlore.schemas.special import DType, Path, StorageSize, Uri

MAX_ARRAY_ELEMENTS = 1000
"""Arrays up to this many elements become lists; larger ones belong in an artifact."""


class UnsupportedError(Exception):
    """Why one value cannot be stored; `pack_metadata` adds the path."""


_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    # Order matters: the first base that matches wins (datetime is a date, bool is an int).
    (Uri, lambda v: Uri(str.__str__(v))),
    (Path, lambda v: Path(str.__str__(v))),
    (DType, lambda v: DType(str.__str__(v))),
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
)


def coerce(value: Any) -> Any:
    """One step towards a stored type; the result may need another.

    Raises UnsupportedError when there is no way.
    """
    library = type(value).__module__.partition(".")[0]
    if library in _LIBRARIES:
        return _LIBRARIES[library](value)
    if isinstance(value, enum.Enum):
        return value.value
    for base, convert in _BASES:
        if isinstance(value, base):
            return convert(value)
    if isinstance(value, dt.datetime):
        return _plain_datetime(value)
    if isinstance(value, dt.date):
        return dt.date(value.year, value.month, value.day)
    return _record(value)


def _plain_datetime(value: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(value.date(), value.timetz())


def _record(value: Any) -> Any:
    """Objects with named fields become groups."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if hasattr(type(value), "model_fields") and hasattr(value, "model_dump"):
        return value.model_dump()  # pydantic.BaseModel
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    # Array-likes of other libraries (jax, cupy, ...) that follow numpy's protocol for scalars.
    if hasattr(value, "tolist") and hasattr(value, "size"):
        return _array(value)
    raise UnsupportedError(f"type {type(value).__module__}.{type(value).__qualname__} is not supported")


def _array(value: Any) -> Any:
    # torch has numel(), numpy and pandas have the property size
    count = int(value.numel() if hasattr(value, "numel") else value.size)
    if count > MAX_ARRAY_ELEMENTS:
        raise UnsupportedError(
            f"an array of {count:,} elements; up to {MAX_ARRAY_ELEMENTS:,} become a list, "
            "store larger ones as an artifact and log its Uri"
        )
    return value.tolist()


def _numpy(value: Any) -> Any:
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if kind is None:
        return DType(str(value)) if hasattr(value, "itemsize") else _record(value)
    if kind == "c":
        raise UnsupportedError("complex numbers are not supported; log real and imaginary parts")
    if kind in "mM":
        # datetime64[ns].tolist() gives bare integers; microseconds is what Python's types hold.
        value = value.astype(f"{value.dtype.char}8[us]")
    plain = _array(value)
    if type(plain) is type(value):  # longdouble: item() gives itself
        return float(value)
    return plain


def _torch(value: Any) -> Any:
    if not hasattr(value, "numel"):
        return DType(str(value)) if type(value).__name__ == "dtype" else _record(value)
    if value.is_complex():
        raise UnsupportedError("complex numbers are not supported; log real and imaginary parts")
    return _array(value.detach())


def _pandas(value: Any) -> Any:
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if hasattr(value, "to_pydatetime") and isinstance(value, dt.datetime):
        return _plain_datetime(value.to_pydatetime(warn=False))  # type: ignore[attr-defined]
    if isinstance(value, dt.timedelta):
        return dt.timedelta(value.days, value.seconds, value.microseconds)
    if hasattr(value, "numpy_dtype") or type(value).__name__.endswith("Dtype"):
        return DType(str(value))
    if getattr(value, "ndim", 0) == 1:  # Series and Index; a frame is data, not metadata
        return _array(value)
    return _record(value)


_LIBRARIES: dict[str, Callable[[Any], Any]] = {"numpy": _numpy, "torch": _torch, "pandas": _pandas}

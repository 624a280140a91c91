# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# The values are whatever callers pass: their static types are unknown by nature.
"""Values of numpy, pandas, torch and of libraries for configurations, recognised by the module of their class.

Each function returns what a value is in Python's own types, or the value itself where it knows nothing of it.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from runlore.schemas.refusal import UnsupportedError, read_part
from runlore.schemas.special import DType, Uri

MAX_ARRAY_ELEMENTS = 1000
"""Arrays up to this many elements become lists; larger ones belong in an artifact."""

_COMPLEX = "complex numbers are not supported; log real and imaginary parts"
_FINER = frozenset({"ns", "ps", "fs", "as"})


def array_list(value: Any) -> Any:
    """A small array as nested lists, or its one element. Raises UnsupportedError for a large one."""
    # torch has numel(), numpy and pandas have the property size
    count = int(value.numel() if hasattr(value, "numel") else value.size)
    if count > MAX_ARRAY_ELEMENTS:
        raise UnsupportedError(
            f"an array of {count:,} elements; up to {MAX_ARRAY_ELEMENTS:,} become a list, "
            "store larger ones as an artifact and log its Uri"
        )
    return value.tolist()


def plain_datetime(value: dt.datetime) -> dt.datetime:
    """The `datetime` of a subclass."""
    return dt.datetime.combine(value.date(), value.timetz())


def plain_float(value: Any) -> float:
    """The `float` of a `numpy.longdouble`. Raises UnsupportedError for one that would become an infinity or zero."""
    plain = float(value)
    if (math.isinf(plain) or not plain) and value != plain:
        raise UnsupportedError("a longdouble beyond the range of float")
    return plain


def class_dtype(value: type) -> DType:
    """The data type that a class of numpy's scalars (`numpy.float32`) names. Raises UnsupportedError for others."""
    if any(base.__module__ == "numpy" and base.__name__ == "generic" for base in value.__mro__):
        return DType(value.__name__.rstrip("_"))  # before numpy 2: bool_
    raise UnsupportedError(f"a class ({value.__module__}.{value.__qualname__}) is not supported; log its name")


def _numpy(value: Any) -> Any:
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    if kind is None:
        return DType(str(value)) if hasattr(value, "itemsize") else value
    if kind == "c":
        raise UnsupportedError(_COMPLEX)
    if kind in "mM":
        value = _times(value)
    plain = array_list(value)
    if type(plain) is type(value):  # longdouble: item() gives itself
        return plain_float(value)
    if kind in "mM" and _holds_int(plain):
        raise UnsupportedError("a time beyond the years 1 to 9999, which Python's types do not hold")
    return plain


def _times(value: Any) -> Any:
    """Times in a unit that `tolist()` turns into Python's types; into integers where those do not hold them."""
    kind, unit = value.dtype.kind, sys.modules["numpy"].datetime_data(value.dtype)[0]
    if kind == "m" and unit in ("generic", "Y", "M"):
        if not bool((value == value).any()):  # nothing but NaT, which has no length in any unit
            return value.astype("m8[s]")
        raise UnsupportedError("a timedelta64 in years, months or without a unit has no fixed length")
    if unit in ("s", "ms", "us"):
        return value
    if unit in _FINER:
        return value.astype(f"{kind}8[us]")
    seconds = value.astype(f"{kind}8[s]")
    if bool(((seconds.astype(value.dtype) != value) & (value == value)).any()):  # NaT is not equal to itself
        raise UnsupportedError("a time so far away that numpy itself cannot convert it")
    return seconds


def _holds_int(plain: Any) -> bool:
    return any(map(_holds_int, plain)) if isinstance(plain, list) else isinstance(plain, int)


def _torch(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(value)  # torch.Size, and what torch.max returns
    if not hasattr(type(value), "numel"):
        if type(value).__name__ == "dtype":
            return DType(str(value))
        return str(value) if type(value).__name__ == "device" else value
    if value.is_complex():
        raise UnsupportedError(_COMPLEX)
    return array_list(value.detach())


def _pandas(value: Any) -> Any:
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if hasattr(value, "to_pydatetime") and isinstance(value, dt.datetime):
        return plain_datetime(value.to_pydatetime(warn=False))  # type: ignore[attr-defined]
    if isinstance(value, dt.timedelta):
        return dt.timedelta(value.days, value.seconds, value.microseconds)
    if hasattr(value, "numpy_dtype") or type(value).__name__.endswith("Dtype"):
        return DType(str(value))
    if getattr(value, "ndim", 0) == 1:  # Series and Index; a frame is data, not metadata
        return array_list(value)
    return value


def _pydantic(value: Any) -> Any:
    # HttpUrl, PostgresDsn, ...: texts with a check, of the same class tree since pydantic 2.10 and of none before.
    return Uri(str(value)) if type(value).__name__.endswith(("Url", "Dsn")) else value


def _omegaconf(value: Any) -> Any:
    if not hasattr(type(value), "_is_none"):
        return value
    if value._is_none():
        return None
    return value if isinstance(value, Mapping) else [read_part(value.__getitem__, place) for place in range(len(value))]


def _ml_collections(value: Any) -> Any:
    if hasattr(type(value), "get_type") and not hasattr(type(value), "keys"):
        return value.get()  # FieldReference
    if not hasattr(type(value), "keys"):
        return value
    return {key: read_part(value.__getitem__, key) for key in value.keys()}  # noqa: SIM118 -- no Mapping: see its own keys()


def _unittest(value: Any) -> Any:
    raise UnsupportedError(f"a {type(value).__name__} answers whatever it is asked: it has no value")


LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "numpy": _numpy,
    "torch": _torch,
    "pandas": _pandas,
    "pydantic": _pydantic,
    "pydantic_core": _pydantic,
    "omegaconf": _omegaconf,
    "ml_collections": _ml_collections,
    "unittest": _unittest,
}

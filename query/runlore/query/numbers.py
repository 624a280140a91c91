"""Numbers among values: which count as such, and the difference of two of them."""

from __future__ import annotations

import decimal
import math
from typing import Any, TypeGuard

from runlore.schemas.special import StorageSize
from runlore.store.cells import nearest_float

Number = int | float | decimal.Decimal

# No traps: a result that is none is NaN, and beyond every exponent it is infinite.
_CONTEXT = decimal.Context(prec=28, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[])


def is_number(value: Any) -> TypeGuard[Number]:
    """Return whether a value counts as a number: int, float, sizes and Decimals, not bool, and no signalling NaN."""
    if isinstance(value, decimal.Decimal):
        return not value.is_snan()  # to compare one raises
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def difference(before: Any, after: Any) -> tuple[Number | None, float | None]:
    """`after` minus `before`, and that as a share of the size of `before`.

    The difference is a Decimal where one is a Decimal and the other no float, a StorageSize where both are sizes, and
    None where one is no number. The share is None where `before` is 0, or where it is no finite number.
    """
    if not (is_number(before) and is_number(after)):
        return None, None
    try:
        delta, share = _of_decimals(before, after) if _exact(before, after) else _of_floats(before, after)
    except OverflowError:  # an integer beyond every float
        return None, None
    if isinstance(before, StorageSize) and isinstance(after, StorageSize):
        delta = StorageSize(delta)
    return delta, share if share is not None and math.isfinite(share) else None


def _exact(before: Number, after: Number) -> bool:
    kinds = [isinstance(value, decimal.Decimal) for value in (before, after)]
    return any(kinds) and not any(isinstance(value, float) for value in (before, after))


def _of_decimals(before: Any, after: Any) -> tuple[Number, float | None]:
    delta = _CONTEXT.subtract(after, before)
    if delta.is_nan():
        return math.nan, None  # a Decimal that is NaN cannot be compared
    return delta, nearest_float(_CONTEXT.divide(delta, _CONTEXT.abs(before))) if before else None


def _of_floats(before: Number, after: Number) -> tuple[int | float, float | None]:
    first, second = (nearest_float(v) if isinstance(v, decimal.Decimal) else v for v in (before, after))
    delta = second - first
    return delta, delta / abs(first) if first else None

"""Attempts: a call that is repeated after a failure is linked to the failed one."""

from __future__ import annotations

from typing import Any

from runlore.schemas.references import EntityRef

MAX_KEPT = 64
"""Failed calls remembered, a function."""

_BY_VALUE = (type(None), bool, int, float)
CallKey = tuple[Any, ...]
"""The arguments of a call: plain values by value, objects by identity. It keeps none of them alive."""


def call_key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallKey:
    """Return a key that tells one call of a function from another."""
    return (*map(_told, args), *((name, _told(value)) for name, value in sorted(kwargs.items())))


def _told(value: Any) -> Any:
    kind = type(value)  # pyright: ignore[reportUnknownVariableType] -- a caller's value
    if kind in _BY_VALUE:
        return kind.__name__, value
    return kind.__name__, hash(value) if kind is str else id(value)


class Attempts:
    """The failed calls of one decorated function."""

    def __init__(self) -> None:
        self._failed: dict[CallKey, EntityRef] = {}

    def failed(self, key: CallKey, ref: EntityRef) -> None:
        """This call failed: it was that run or step."""
        self._failed[key] = ref
        if len(self._failed) > MAX_KEPT:
            self._failed.pop(next(iter(self._failed)), None)

    def take(self, key: CallKey) -> EntityRef | None:
        """The run or step of this very call if it failed the last time; it is forgotten then."""
        return self._failed.pop(key, None)

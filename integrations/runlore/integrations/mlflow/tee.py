"""A store of MLflow that does what it did, and whose calls are recorded beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from runlore.integrations.guard import Guard

_INSIDE = ContextVar("inside a recorded call", default=False)
"""Stores call their own methods: only the outermost call is recorded."""
REFUSED = frozenset({
    "INVALID_PARAMETER_VALUE", "INVALID_STATE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_LIMIT_EXCEEDED", "PERMISSION_DENIED", "UNAUTHENTICATED", "FEATURE_DISABLED", "ENDPOINT_NOT_FOUND",
})  # fmt: skip
"""Codes with which MLflow refuses a call. Any other error means that it could not take it."""


def tee(store: Any, recorder: object, methods: Sequence[str], guard: Guard, rebuild: tuple[Any, ...]) -> None:
    """Record these methods of a store. It stays what it is for `isinstance`; `rebuild` makes it in another process."""
    kind: type[Any] = store.__class__
    own: dict[str, Any] = {
        name: _recorded(getattr(kind, name), name, recorder, guard) for name in methods if hasattr(kind, name)
    }
    own["__reduce__"] = lambda _store: rebuild  # pyright: ignore[reportUnknownLambdaType] -- a method of a class made here
    store.__class__ = type(kind.__name__, (kind,), own)


def _recorded(method: Callable[..., Any], name: str, recorder: object, guard: Guard) -> Callable[..., Any]:
    record: Callable[..., None] = getattr(recorder, name)
    before: Callable[..., None] | None = getattr(recorder, f"before_{name}", None)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _INSIDE.get():
            return method(self, *args, **kwargs)
        token = _INSIDE.set(True)
        try:
            if before is not None:
                guard.run(functools.partial(before, *args, **kwargs))
            result = method(self, *args, **kwargs)
        except Exception as error:
            if not is_refusal(error) and name in WITHOUT_RESULT:
                guard.run(functools.partial(record, None, *args, **kwargs))
            raise
        finally:
            _INSIDE.reset(token)
        guard.run(functools.partial(record, result, *args, **kwargs))
        return result

    return call


WITHOUT_RESULT = frozenset({
    "log_batch", "log_batch_async", "log_metric", "log_param", "set_tag", "log_inputs", "update_run_info",
})  # fmt: skip
"""Calls that say everything themselves: recorded also where MLflow is away and fails them."""


def is_refusal(error: Exception) -> bool:
    """True where MLflow answered that the call is wrong; then it did not happen."""
    code = getattr(error, "error_code", None)
    return not isinstance(error, OSError) and (code is None or code in REFUSED)

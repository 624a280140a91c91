"""Runlore: metadata for machine-learning work that never forgets.

The public names of all rooms in one place, each loaded when it is first used: a step that only logs never pays for
the query library.

    from runlore import Client, StorageSize, log_metadata, pipeline, step
"""

from importlib import import_module
from pkgutil import extend_path
from typing import Any

# The rooms are folders of their own, each with a part of this package.
__path__ = extend_path(__path__, __name__)

_NAMES = {
    "runlore.producer": (
        "ArtifactConfig", "Model", "Producer", "Receipt", "add_note", "add_tags", "bulk_log_metadata", "configure",
        "flush", "get_step_context", "in_context", "log_artifact_metadata", "log_metadata", "log_model_metadata",
        "log_run_metadata", "log_step_metadata", "pipeline", "remove_tags", "retract_metadata", "run_context",
        "set_model_stage", "start_run", "start_step", "step", "step_context", "use_artifact",
    ),
    "runlore.query": ("Client",),
    "runlore.schemas": (
        "AccessDeniedError", "AmbiguousError", "ArgumentError", "CorruptLogError", "DType", "EntityRef",
        "EventCostError", "EventDecodeError", "EventLimitError", "EventTooLargeError", "FilterError", "FolderBusyError",
        "FolderError", "ForeignServerError", "HeldError", "InvalidReferenceError", "LatestOnlyError",
        "MetadataTypeError", "MissingContextError", "MomentError", "NewerSchemaError", "NotFoundError", "NotSentError",
        "OutboxError", "Path", "QueryTimeoutError", "ReceiptTimeoutError", "RunloreError", "ServerTooOldError",
        "ServerUnavailableError", "SettingsError", "StorageSize", "StreamDriftError", "StreamMismatchError", "Uri",
    ),
}  # fmt: skip
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("runlore")
    if name not in _HOMES:
        raise AttributeError(f"module 'runlore' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return __all__

"""Notes of commands that write, when an entity or key does not exist: most likely a typo."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, cast

from runlore.cli.output import note
from runlore.query import Client, Entity
from runlore.schemas.errors import NotFoundError
from runlore.schemas.paths import PathParts, format_path, parse_path
from runlore.schemas.references import RESERVED_STAGES, EntityRef
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir

PATIENCE_SECONDS = 1.0
"""How long a new event may take to be readable while a projector runs."""


def note_if_new(settings: Settings, ref: EntityRef) -> None:
    """Note that an entity does not exist yet; nothing where there is no view."""
    try:
        known(settings, ref)
    except NotFoundError:
        # A stage that no version holds is never made into a version.
        unmade = ref.kind == "model" and ref.version in RESERVED_STAGES
        note(f"{ref} does not exist: the event will be quarantined" if unmade else f"Created {ref} (it did not exist)")


def check_retracted(settings: Settings, ref: EntityRef, keys: Iterable[str]) -> None:
    """Note which keys are not set. Raises NotFoundError for an entity that does not exist."""
    if not _can_tell(settings, ref):
        return
    paths = [parse_path(key) for key in keys]
    try:
        entity = _entity(settings, ref)
    except NotFoundError as error:
        raise NotFoundError(f"nothing was retracted: {error}") from None
    metadata = entity.metadata
    for parts in paths:
        # A key may hold dots itself, such as train.loss.
        if not _holds(metadata, parts) and not _holds(metadata, (".".join(parts),)):
            note(f"{format_path(parts)} is not set on {entity.reference}: there is nothing to retract")


def known(settings: Settings, ref: EntityRef) -> Entity | None:
    """Return the entity, None where there is no view to look it up. Raises NotFoundError."""
    return _entity(settings, ref) if _can_tell(settings, ref) else None


def _can_tell(settings: Settings, ref: EntityRef) -> bool:
    # The last run of a pipeline is for the fold to find.
    return DataDir(settings.data_dir).current.exists() and (ref.kind != "step" or bool(ref.run))


def _entity(settings: Settings, ref: EntityRef) -> Entity:
    with Client(settings.data_dir, settings.project) as client:
        late = time.monotonic() + PATIENCE_SECONDS
        while True:
            running = client.lag is not None
            try:
                return client.get(ref)
            except NotFoundError:
                if not running or time.monotonic() > late:
                    raise
            time.sleep(0.05)


def _holds(metadata: Any, parts: PathParts) -> bool:
    found = metadata
    for part in parts:
        if not isinstance(found, dict) or part not in found:
            return False
        found = cast(dict[str, Any], found)[part]
    return True

"""Erasing by a client: it signs and waits as `runlore erase` does, with the code of the projector."""

from __future__ import annotations

import getpass
import importlib
import os
from collections.abc import Sequence
from typing import Any

from runlore.query.lookup import entity_at, run_of
from runlore.query.scope import Scope
from runlore.schemas.errors import RunloreError
from runlore.schemas.paths import PathParts, parse_path
from runlore.schemas.references import EntityRef, parse_ref
from runlore.schemas.settings import read_settings
from runlore.store.records import Erasing


def erase(
    scope: Scope,
    about: str | EntityRef | int,
    keys: Sequence[str | PathParts],
    reason: str,
    who: str | None,
    content: Sequence[str],
    dry_run: bool,
    timeout: float,
) -> Erasing:
    """Erase in the data folder that a scope reads. Raises as `Client.erase` says."""
    data = scope.reader.data
    if data is None:
        raise RunloreError(f"{scope.reader.path} is one view file: values are erased in the projector's folder")
    room = _projector()
    folder = room.ErasingFolder(read_settings(data_dir=data.root, project=scope.project))
    target = room.Target.of(_meant(scope, about), [parse_path(key) for key in keys], content)
    if dry_run:
        found: Erasing = folder.result(folder.plan(target, reason), erased=False)
        return found
    done: Erasing = folder.result(folder.erase(target, reason, who or _user(), timeout), erased=True)
    return done


def _meant(scope: Scope, about: str | EntityRef | int) -> EntityRef | int:
    """The same, with a selector (latest, a stage) or a run's prefix resolved."""
    if isinstance(about, int):
        return about
    reference = parse_ref(about)
    if reference.kind == "run":
        return parse_ref(run_of(scope, reference.name).reference)
    return reference if reference.version is None else parse_ref(entity_at(scope, reference).reference)


def _projector() -> Any:
    """The projector's code. By name: reading needs none of it, and a light install does not have it."""
    try:
        return importlib.import_module("runlore.projector.erasures.erase")
    except ModuleNotFoundError as error:
        raise RunloreError(f"erasing needs the projector's packages ({error}): pip install 'runlore[all]'") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())  # a container's user without a passwd entry

"""Folders with a signed log."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runlore.store.folder import DataDir
from tests.audit.logs import Folder, messages
from tests.audit.stories import make_story


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """700 events in seven batches, each signed."""
    folder = Folder(tmp_path_factory.mktemp("template"))
    folder.fill([messages(first, first + 99) for first in range(1, 701, 100)])
    return folder


@pytest.fixture
def filled(folder: Folder, template: Folder) -> Folder:
    shutil.copy(template.log, folder.log)
    shutil.copy(template.key, folder.key)
    return folder


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    """A model's story, signed and folded: see `stories`. Not to be changed."""
    return make_story(tmp_path_factory.mktemp("story") / "data")

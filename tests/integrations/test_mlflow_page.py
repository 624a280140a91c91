"""The page about integrations is true: its blocks on MLflow run as written."""

from __future__ import annotations

from pathlib import Path

import pytest

from runlore.cli.stack import EmbeddedStack
from runlore.schemas import Settings, read_settings
from tests.page_blocks import run_blocks

mlflow = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("mlflow")]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A reader's: in a folder with nothing set, where `runlore up` runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUNLORE_DATA_DIR")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.setenv(name, "")  # to be removed at the end, whoever sets it
        monkeypatch.delenv(name)
    return read_settings()


def test_every_block_on_mlflow_prints_what_it_shows(stack: EmbeddedStack, tmp_path: Path) -> None:
    run_blocks(Path(__file__).parents[2] / "docs" / "integrations.md", tmp_path, section="MLflow")

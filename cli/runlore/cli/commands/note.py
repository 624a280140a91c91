"""`runlore note`: a remark on an entity."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.emitting import emit
from runlore.cli.options import REFERENCE, data_dir_option, project_option, settings_for
from runlore.cli.typos import note_if_new
from runlore.producer import add_note
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("entity", type=REFERENCE)
@click.argument("text")
@project_option
@data_dir_option
def note(entity: EntityRef, text: str, project: str | None, data_dir: Path | None) -> None:
    """Write a note on ENTITY; all its notes stay readable.

    \b
    Example:
      runlore note model:churn@3 "approved by the review board"
    """
    if not text.strip():
        raise click.UsageError("the note is empty")
    settings = settings_for(data_dir, project)
    note_if_new(settings, entity)
    emit(settings, lambda: add_note(text, entity))

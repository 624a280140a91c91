"""Logs that the tests of the page look at: one as a team would write it, one that means harm."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from runlore.schemas import DType, Path, StorageSize, Uri
from runlore.schemas.events import (
    ArtifactVersionProduced,
    MetadataRetracted,
    ModelStageChanged,
    NoteAdded,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from runlore.schemas.references import EntityRef, parse_ref
from tests.events import LogBuilder

SCRIPT = "<script>alert(1)</script>"
BIDI = "safe\u202egnp.exe"
FORMULA = '=HYPERLINK("http://evil.example","x")'


def write_demo(log: LogBuilder) -> None:
    """Three runs with steps, artifacts, models, notes, a retraction, and two bad events."""
    for number in (1, 2, 3):
        run = f"run-{number}"
        step = EntityRef("step", "train", run=run)
        log.add(RunStarted("training", f"night {number}", parameters={"lr": 0.1 * number, "layers": [64, 32]}), run=run)
        log.add(StepStarted(), run=run, step="train")
        for epoch in range(1, 13):
            log.log(step, {"metrics": {"loss": 2.0 / (epoch * number), "epoch": epoch}}, run=run, step="train")
        log.log(
            f"model:churn@{number}",
            {
                "metrics": {"accuracy": 0.8 + number / 20, "loss": 1 / number, "not_a_number": float("nan")},
                "framework": ["sklearn", "torch", "sklearn"][number - 1],
                "size": StorageSize(2_500_000 * number),
                "source": Uri("https://example.test/churn"),
                "bucket": Uri("gs://models/churn"),
                "file": Path("/models/churn.joblib"),
                "dtype": DType("float32"),
                "trained": dt.datetime(2026, 3, 3, 18, tzinfo=dt.UTC),
                "price": Decimal("12.50"),
                "labels": {"b", "a"},
                "notes": "a long text. " * 200,
                "nested": {"deep": {"deeper": {"value": 1}}},
                "table": [{"row": place, "cells": list(range(12))} for place in range(30)],
            },
            run=run,
            step="train",
        )
        log.add(ArtifactVersionProduced(parse_ref("artifact:weights")), run=run, step="train")
        log.add(StepFinished("completed"), run=run, step="train")
        log.add(RunFinished("completed"), run=run)
    log.add(ModelStageChanged(parse_ref("model:churn@2"), "production"))
    log.add(NoteAdded((parse_ref("model:churn@2"),), "Checked with the team."))
    log.log("model:churn@2", {"customer": "acme"})
    log.log("model:churn@2", {"metrics": {"accuracy": 0.95}}, merge=True)
    log.add(MetadataRetracted((parse_ref("model:churn@2"),), (("customer",),), "under embargo"))
    log.add_raw(b"\xc1 not an event", "bad-1")


def write_hostile(log: LogBuilder) -> None:
    """Names and values that would hurt a page that trusted them."""
    log.log(
        f"model:{SCRIPT}@1",
        {
            SCRIPT: SCRIPT,
            'quote"><img src=x onerror=alert(1)>': "x",
            "uri": Uri("javascript:alert(1)"),
            "data": Uri("data:text/html,<script>alert(1)</script>"),
            "tabbed": Uri("java\tscript:alert(1)"),
            "bidi": BIDI,
            "control": "bell\x07 and null\x00",
            "large": "x" * 900_000,
            "formula": FORMULA,
            "{{ 7*7 }}": "{{ 7*7 }}",
            "group": {"</td>": "</table>", "..": "../../etc/passwd"},
            "huge": 10**400,
        },
    )
    log.log("artifact:../../admin@1", {"a": 1.5})
    log.log("artifact:../../admin@2", {"a": 2.5, "=cmd": "+1"})
    log.log("model:a b%2F?&#@1", {"a": 1})
    log.add_raw(b"\x81\xa1x" + SCRIPT.encode(), "bad")

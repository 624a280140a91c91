"""Conversions from results of the query library to answers of the API."""

from __future__ import annotations

from typing import Any

import msgspec

from runlore.dashboard.api.types import (
    AuditOut,
    CheckpointOut,
    EntryOut,
    LoggedEventOut,
    ProofOut,
    ProofStep,
    ValueOut,
)
from runlore.query import Entry
from runlore.query.evidence import AuditState, LoggedEvent, SignedCheckpoint
from runlore.query.plain import plain
from runlore.query.records import entry_record, logged_record
from runlore.store.cells import to_cell


def value_out(value: Any, kind: str | None = None) -> ValueOut:
    """Return a value with its type name, by default that of its Python type."""
    return ValueOut(kind or to_cell(value)[0], plain(value))


def entry_out(entry: Entry) -> EntryOut:
    """Return an entry."""
    return msgspec.convert(entry_record(entry), EntryOut)


def logged_event_out(found: LoggedEvent) -> LoggedEventOut:
    """Return an archived event with its proof."""
    proof = found.proof
    return LoggedEventOut(
        logged_record(found),
        found.headers,
        found.payload,
        None
        if proof is None
        else ProofOut(
            proof.index,
            proof.leaf.hex(),
            [ProofStep(step.sibling.hex(), step.on_left, step.gives.hex()) for step in proof.steps],
            checkpoint_out(proof.checkpoint),
        ),
        found.unproved,
        found.tampered,
    )


def checkpoint_out(checkpoint: SignedCheckpoint) -> CheckpointOut:
    """Return a checkpoint with its root in hexadecimal."""
    return msgspec.convert({**msgspec.structs.asdict(checkpoint), "root": checkpoint.root.hex()}, CheckpointOut)


def audit_out(state: AuditState) -> AuditOut:
    """Return the state of the audit."""
    return AuditOut(
        state.epoch,
        state.position,
        state.leaves,
        state.root.hex(),
        state.checkpoints,
        None if state.checkpoint is None else checkpoint_out(state.checkpoint),
        state.gaps,
        state.verify,
    )

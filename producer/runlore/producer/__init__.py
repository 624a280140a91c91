"""Emit metadata from steps: durable on return, sent in the background, non-blocking."""

from runlore.producer.lifecycle import configure, default_producer, flush
from runlore.producer.log import (
    add_note,
    add_tags,
    bulk_log_metadata,
    log_artifact_metadata,
    log_metadata,
    log_model_metadata,
    log_run_metadata,
    log_step_metadata,
    remove_tags,
    retract_metadata,
    set_model_stage,
    use_artifact,
)
from runlore.producer.maintenance import DrainReport, OutboxKeeper, OutboxStatus, drain, outbox_status
from runlore.producer.producer import Producer
from runlore.producer.receipts import Receipt
from runlore.producer.runs.arguments import redact_parameters
from runlore.producer.runs.context import run_context, start_run, start_step, step_context
from runlore.producer.runs.decorators import pipeline, step
from runlore.producer.runs.describe import describe_run
from runlore.producer.runs.in_context import in_context
from runlore.producer.runs.model import ArtifactConfig, Model
from runlore.producer.runs.step_info import current_entity, get_step_context
from runlore.producer.session import FlushReport

__all__ = [
    "ArtifactConfig",
    "DrainReport",
    "FlushReport",
    "Model",
    "OutboxKeeper",
    "OutboxStatus",
    "Producer",
    "Receipt",
    "add_note",
    "add_tags",
    "bulk_log_metadata",
    "configure",
    "current_entity",
    "default_producer",
    "describe_run",
    "drain",
    "flush",
    "get_step_context",
    "in_context",
    "log_artifact_metadata",
    "log_metadata",
    "log_model_metadata",
    "log_run_metadata",
    "log_step_metadata",
    "outbox_status",
    "pipeline",
    "redact_parameters",
    "remove_tags",
    "retract_metadata",
    "run_context",
    "set_model_stage",
    "start_run",
    "start_step",
    "step",
    "step_context",
    "use_artifact",
]

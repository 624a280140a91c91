"""The stream as text for the tool that makes it: NATS's own CLI, the Kubernetes controller, Terraform."""

from __future__ import annotations

import json
from typing import Any, Literal

from runlore.schemas.shards import Shard

Format = Literal["nats", "nack", "terraform"]

_NACK = {
    "deny_delete": "denyDelete",
    "deny_purge": "denyPurge",
    "allow_atomic": "allowAtomicPublish",
    "max_bytes": "maxBytes",
    "num_replicas": "replicas",
}
"""Fields of nats-io/nack's Stream by those of JetStream; the others are named the same, or are its defaults."""
_SAME = ("name", "subjects", "storage", "retention", "discard", "compression", "metadata")


def stream_text(config: dict[str, Any], form: Format) -> str:
    """The stream's configuration in one of the forms."""
    match form:
        case "nats":
            return json.dumps(config, indent=2) + "\n"
        case "nack":
            return _nack(config)
        case "terraform":
            return _terraform(config)


def _nack(config: dict[str, Any]) -> str:
    spec = {name: config[name] for name in _SAME} | {theirs: config[ours] for ours, theirs in _NACK.items()}
    spec |= {"duplicateWindow": f"{config['duplicate_window'] // 10**9}s"}
    spec |= {"preventDelete": True, "preventUpdate": True}
    lines = ["apiVersion: jetstream.nats.io/v1beta2", "kind: Stream", "metadata:", f"  name: {_label(config)}", "spec:"]
    # JSON is YAML: quoted texts need no rules.
    return "\n".join([*lines, *(f"  {name}: {json.dumps(value)}" for name, value in spec.items())]) + "\n"


def _shard(config: dict[str, Any]) -> str:
    shard = Shard.of_stream(config["name"])
    return f"RUNLORE_SHARD={shard.number} " if shard is not None and shard.number else ""


def _label(config: dict[str, Any]) -> str:
    """The stream's name as Kubernetes takes it."""
    return str(config["name"]).lower().replace("_", "-")


def _terraform(config: dict[str, Any]) -> str:
    limit = config["max_bytes"]
    options = f" --max-bytes {limit}" if limit > 0 else ""
    command = f"{_shard(config)}runlore operator stream --create --replicas {config['num_replicas']}{options}"
    return (
        "# The JetStream provider's jetstream_stream has neither discard, metadata nor atomic publishing, which are\n"
        "# needed here: this makes the stream as RUNLORE_URL's user `operator`, and leaves one that exists alone.\n"
        f'resource "terraform_data" "{config["name"].lower()}_stream" {{\n'
        '  provisioner "local-exec" {\n'
        f'    command = "{command}"\n'
        "  }\n"
        "}\n"
    )

"""What to do about a stream that works: too few replicas, replicas that are away, a limit that is near."""

from __future__ import annotations

from typing import Any, NamedTuple

from runlore.wire.stream import StreamInfo

NEARLY_FULL = 0.8
"""Share of `max_bytes` above which a stream is nearly full."""


class Upkeep(NamedTuple):
    """One thing to do: the check it is about, what is wrong, and the remedy."""

    check: str
    detail: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.detail}; {self.remedy}"


def upkeep(info: StreamInfo, wanted: int | None) -> list[Upkeep]:
    """What an operator should know of this stream; `wanted`: RUNLORE_REPLICAS."""
    found = [_replicas(info, wanted), _away(info), _full(info)]
    return [one for one in found if one is not None]


def _replicas(info: StreamInfo, wanted: int | None) -> Upkeep | None:
    edit = f"`nats stream edit {info.config['name']} --replicas"
    if wanted is not None and wanted != info.replicas:
        detail = f"the stream has {_counted(info.replicas)}, RUNLORE_REPLICAS={wanted}"
        return Upkeep("replicas", detail, f"{edit} {wanted}`, or set RUNLORE_REPLICAS={info.replicas}")
    if wanted is None and info.cluster is not None and info.replicas == 1:
        detail = "the stream has 1 replica on a cluster: events are lost with the disk of one node"
        return Upkeep(
            "replicas", detail, f"{edit} 3` and RUNLORE_REPLICAS=3; or RUNLORE_REPLICAS=1 if that is intended"
        )
    return None


def _counted(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"


def _away(info: StreamInfo) -> Upkeep | None:
    others: list[dict[str, Any]] = (info.cluster or {}).get("replicas") or []
    away = [str(one["name"]) for one in others if one.get("offline")]
    if not away:
        return None
    detail = f"{len(away)} of {info.replicas} replicas are away: {', '.join(away)}"
    return Upkeep("nodes", detail, "start these nodes: without a majority the stream takes no events")


def _full(info: StreamInfo) -> Upkeep | None:
    if not info.max_bytes or info.bytes < info.max_bytes * NEARLY_FULL:
        return None
    detail = f"{info.bytes / 1e6:,.1f} of the stream's {info.max_bytes / 1e6:,.1f} MB are used"
    return Upkeep(
        "stream size",
        detail,
        f"`nats stream edit {info.config['name']} --max-bytes`: at the limit it refuses events, which wait in their "
        "outboxes",
    )

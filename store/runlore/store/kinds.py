"""Kinds of entities, in SQL."""

from __future__ import annotations

from runlore.schemas.references import UNVERSIONED_KINDS

UNVERSIONED_SQL = "(" + ", ".join(f"'{kind}'" for kind in UNVERSIONED_KINDS) + ")"


def is_instance(entities: str = "") -> str:
    """SQL that holds for what can have metadata: a run, a step, a version; not for the row that groups versions.

    `entities`: the table's alias with its dot, such as ``e.``.
    """
    return f"({entities}version != '' OR {entities}kind IN {UNVERSIONED_SQL})"

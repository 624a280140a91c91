"""The full-text index of a view: names, keys and texts as they are now.

It follows the heads at a distance of about a second, in batches: indexing a text costs as much as folding an event, and
of a key that changes all the time only the last text is worth it. `search_state` says up to where it is complete.
"""

from __future__ import annotations

from runlore.store.grams import grams
from runlore.store.kinds import is_instance
from runlore.store.sqlite import sqlite

TEXT_CHARACTERS = 2000
"""Of longer texts the beginning is indexed."""

FIELDS = ("name", "pipeline", "stage", "stage_reason", "error_type", "error_message", "note")
"""Fields whose text is indexed along with the metadata."""

_TEXT_TYPES = "('str', 'Uri', 'Path', 'DType', 'list', 'tuple', 'set', 'frozenset', 'dict')"
_FIELDS = ", ".join(f"'{name}'" for name in FIELDS)

_TEXTS = f"""
CREATE TEMP TABLE texts AS
SELECT h.entity_id, h.path_id, p.path,
    CASE WHEN h.type IN {_TEXT_TYPES} THEN substr(coalesce(h.text, h.value), 1, {TEXT_CHARACTERS}) END AS text
FROM heads h JOIN paths p USING (path_id)
WHERE h.entity_id IN (SELECT entity_id FROM mentions WHERE position > :after AND position <= :upto)
AND h.position > :after AND (p.scope = 'metadata' OR p.path IN ({_FIELDS}))
"""
_NAMES = f"""
INSERT INTO texts SELECT entity_id, 0, NULL, iif(version = '', name, name || ' ' || version) FROM entities
WHERE created_position > :after AND created_position <= :upto
AND {is_instance()}
"""
_UNCHANGED = """
DELETE FROM texts WHERE EXISTS (
    SELECT 1 FROM search_docs d JOIN search s ON s.rowid = d.doc_id
    WHERE d.entity_id = texts.entity_id AND d.path_id = texts.path_id AND s.text = texts.text)
"""
_FORGET = """
DELETE FROM search WHERE rowid IN (SELECT doc_id FROM texts JOIN search_docs USING (entity_id, path_id))
"""
_NUMBER = """
INSERT OR IGNORE INTO search_docs (entity_id, path_id)
SELECT entity_id, path_id FROM texts WHERE text IS NOT NULL ORDER BY entity_id, path_id
"""
_INDEX = """
INSERT INTO search (rowid, key, text, grams) SELECT doc_id, path, texts.text, grams(path, texts.text)
FROM texts JOIN search_docs USING (entity_id, path_id) WHERE texts.text IS NOT NULL ORDER BY doc_id
"""
_MOVE = "UPDATE search_state SET position = :upto WHERE position = :after"


def sync_search(connection: sqlite.Connection, most: int | None = None) -> bool:
    """Index what changed since the last time, at most `most` positions; whether everything is indexed now.

    The caller holds a transaction.
    """
    connection.create_function("grams", 2, grams, deterministic=True)
    (after,) = connection.execute("SELECT position FROM search_state").fetchone()
    (folded,) = connection.execute("SELECT position FROM view_state").fetchone()
    upto = folded if most is None else min(folded, after + most)
    if upto > after:
        window = {"after": after, "upto": upto}
        for statement in (_TEXTS, _NAMES, _UNCHANGED, _FORGET, _NUMBER, _INDEX, "DROP TABLE texts", _MOVE):
            connection.execute(statement, window)
    return bool(upto == folded)

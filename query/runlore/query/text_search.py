"""Full-text search over names, keys and text values, through the view's index; keys of other values by their paths.

What people type is never FTS5 syntax here: each word is a quoted string of its own.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import msgspec

from runlore.query.entity import Entity, entities_of
from runlore.query.scope import Scope
from runlore.query.time.moment import NOW, check_limit
from runlore.query.view.budget import read_cell
from runlore.schemas.errors import ArgumentError, LatestOnlyError
from runlore.store.cells import ENDED, ENDED_SQL, SHORT_CELL, readable
from runlore.store.grams import gram_phrase
from runlore.store.kinds import is_instance

MAX_WORDS = 20
MAX_CHARACTERS = 1000
"""Of a search: SQLite refuses patterns of 50,000 bytes, and nobody remembers a word as long."""
MAX_PATHS = 200
"""Paths that a search takes from those whose values are no texts."""
SNIPPET_CHARACTERS = 200

# Letters and digits with their marks, as the index takes texts apart.
_TOKEN = re.compile(r"(?:[^\W_]|[\u0300-\u036f])+")
_ACCENTS = re.compile(r"[\u0300-\u036f]+")


class Hit(msgspec.Struct, frozen=True):
    """One occurrence of the words."""

    entity: Entity
    scope: str
    """``name``, ``metadata`` for a key, ``field`` for a note, a stage or another field."""
    path: str | None
    """The path or field; None for the name."""
    snippet: str
    """The part of the text around the words, or the value where it is no text."""
    score: float
    """Higher is better; compares hits of one scope only. 0 for keys of values that are no texts."""


class Hits(list[Hit]):
    """Hits, the best first. The index was complete up to `position` of the log."""

    def __init__(self, hits: Iterable[Hit], position: int) -> None:
        super().__init__(hits)
        self.position = position


HitRow = tuple[int, str, str | None, str, float]
"""Entity ID, scope, path, snippet, score."""

# The text is read for the page only, after sorting; FTS5's snippet() would work on everything that fits.
_TEXTS = f"""
SELECT o.entity_id, coalesce(p.scope, 'name'), p.path, s.text, o.score FROM (
    SELECT d.entity_id, d.doc_id, d.path_id, -f.rank AS score
    FROM search f
    CROSS JOIN search_docs d ON d.doc_id = f.rowid
    CROSS JOIN entities e ON e.entity_id = d.entity_id
    LEFT JOIN heads h ON h.entity_id = d.entity_id AND h.path_id = d.path_id
    WHERE search MATCH :words AND e.project = :project AND (:kind IS NULL OR e.kind = :kind)
    AND (d.path_id = 0 OR h.type NOT IN {ENDED_SQL})
    AND {is_instance("e.")}
    ORDER BY d.path_id != 0, f.rank, f.rowid DESC LIMIT :limit
) o CROSS JOIN search s ON s.rowid = o.doc_id LEFT JOIN paths p ON p.path_id = o.path_id
ORDER BY o.path_id != 0, o.score DESC, o.doc_id DESC
"""
# In a path with other letters than ASCII's, bytes outnumber characters; so they do where a NUL ends what SQLite counts.
_ODD = "length(CAST(path AS BLOB)) != length(path)"
_PATHS = f"""
SELECT path_id, path FROM paths WHERE scope = 'metadata' AND {{words}} AND NOT ({_ODD}) ORDER BY path_id LIMIT 5000
"""
_ODD_PATHS = f"""
SELECT path_id, path FROM paths WHERE scope = 'metadata' AND {_ODD} ORDER BY path_id LIMIT 50000
"""
# The condition on the value is that of the index by value, which serves to find the entities of a path.
_OTHERS = f"""
SELECT h.entity_id, h.type, h.value FROM heads h JOIN entities e USING (entity_id)
WHERE h.path_id = :path_id AND {SHORT_CELL.replace("value", "h.value")}
AND h.type NOT IN (SELECT value FROM json_each(:texts))
AND e.project = :project AND (:kind IS NULL OR e.kind = :kind) AND {is_instance("e.")}
ORDER BY h.entity_id DESC LIMIT :limit
"""
_NO_OTHERS = json.dumps([*sorted(ENDED), "str", "Uri", "Path", "DType", "list", "tuple", "set", "frozenset", "dict"])
"""Types that the index holds, and ends."""


def search(scope: Scope, text: str, kind: str | None, limit: int) -> Hits:
    """See `Client.search`."""
    if scope.moment != NOW:
        raise LatestOnlyError("the full-text index holds the latest state only: search with a client without as_of")
    check_limit(limit)
    if len(text) > MAX_CHARACTERS:
        raise ArgumentError(f"a search has at most {MAX_CHARACTERS:,} characters, this one {len(text):,}")
    words = _words(text)
    with scope.reader.read():
        state = scope.reader.one("SELECT position FROM search_state")
        assert state is not None
        if not words:
            return Hits([], int(state[0]))
        wanted: dict[str, Any] = {"project": scope.project, "kind": kind, "limit": limit}
        found = _read(scope, _TEXTS, {**wanted, "words": _match(words)})
        rows: list[HitRow] = [(*row[:3], _snippet(row[3], words), row[4]) for row in found]
        if len(rows) < limit:
            rows += _other_keys(scope, words, wanted, limit - len(rows))
        entities = entities_of(scope, [row[0] for row in rows])
    return Hits((Hit(entity, *row[1:]) for entity, row in zip(entities, rows, strict=True)), int(state[0]))


def _read(scope: Scope, sql: str, values: dict[str, Any]) -> list[Any]:
    with scope.reader.read() as connection:
        return connection.execute(sql, values).fetchall()


def _words(text: str) -> list[str]:
    """Return the words between blanks that the index can hold; at most MAX_WORDS."""
    clean = text.replace("\0", " ").encode("utf-8", "replace").decode()
    return [word for word in clean.split() if _TOKEN.search(word)][:MAX_WORDS]


def _match(words: list[str]) -> str:
    return " AND ".join([*(_phrase(word, False) for word in words[:-1]), _phrase(words[-1], True)])


def _phrase(word: str, last: bool) -> str:
    """A word as FTS5 reads it; the last one typed may be cut short, and so may a word of a script without blanks."""
    apart = gram_phrase(word)
    quoted = (word if apart is None else apart).replace('"', '""')
    return f'"{quoted}"' + (" *" if last or apart is not None else "")


def _snippet(text: str, words: list[str]) -> str:
    """Return the part of a text around the first word found in it as it was typed, else its beginning."""
    lower = text.lower()  # of another length than `text` for a few letters; the place is about right
    at = min((place for word in words if (place := lower.find(word.lower())) >= 0), default=0)
    start = max(0, min(at - SNIPPET_CHARACTERS // 3, len(text) - SNIPPET_CHARACTERS))
    cut = text[start : start + SNIPPET_CHARACTERS]
    return ("…" if start else "") + cut + ("…" if start + len(cut) < len(text) else "")


def _other_keys(scope: Scope, words: list[str], wanted: dict[str, Any], limit: int) -> list[HitRow]:
    """Leaves of numbers, times and such whose path holds the words; the newest entities of each path first."""
    parts = [_composed(word) for word in words if gram_phrase(word) is not None]
    tokens = [token for word in words if gram_phrase(word) is None for token in _tokens(word)]
    found: list[HitRow] = []
    for path_id, path in _paths(scope, tokens, parts):
        values = {**wanted, "path_id": path_id, "texts": _NO_OTHERS, "limit": limit - len(found)}
        for entity_id, type_, cell in _read(scope, _OTHERS, values):
            found.append((entity_id, "metadata", path, readable(read_cell(type_, cell))[:SNIPPET_CHARACTERS], 0.0))
        if len(found) >= limit:
            break
    return found


def _paths(scope: Scope, tokens: list[str], parts: list[str]) -> list[tuple[int, str]]:
    if not tokens and not parts:
        return []
    # LIKE folds ASCII alone: it chooses among the paths of nothing else, all others are folded here.
    rows = scope.reader.rows(_ODD_PATHS)
    if not parts and all(map(str.isascii, tokens)):
        likes = " AND ".join(["path LIKE ? ESCAPE '\\'"] * len(tokens))
        patterns = [f"%{_escaped(token)}%" for token in tokens]
        rows = sorted(rows + scope.reader.rows(_PATHS.format(words=likes), patterns))
    return list(itertools.islice((row for row in rows if _holds(row[1], tokens, parts)), MAX_PATHS))


def _holds(path: str, tokens: list[str], parts: list[str]) -> bool:
    """Return whether a path has all words, the last one perhaps by its beginning only, and all parts anywhere."""
    there, whole = _tokens(path), _composed(path)
    cut = tokens[-1:]
    return (
        all(part in whole for part in parts)
        and all(token in there for token in tokens[:-1])
        and all(any(token.startswith(beginning) for token in there) for beginning in cut)
    )


def _composed(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_folded(text))


def _folded(text: str) -> str:
    """Without case and accents: what differs in nothing else is the same."""
    if text.isascii():
        return text.lower()
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).casefold()


def _escaped(token: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", token)

"""The tables of a view, and SQL views over them for people. `docs/architecture.md` explains them.

Two scopes share one history: ``metadata`` holds what people log, ``field`` what Runlore knows of an
entity itself (a run's status, a model's stage), so that both have a past in the same way.
"""

from __future__ import annotations

from runlore.store.cells import ENDED_SQL
from runlore.store.kinds import is_instance
from runlore.store.stretches import HISTORY_STRETCH

VIEW_SCHEMA = 7
"""Version of these tables; the query library reads no other."""

TABLES = (
    "view_state",
    "entities",
    "paths",
    "history",
    "heads",
    "links",
    "mentions",
    "events",
    "actors",
    "producers",
    "actor_keys",
    "signers",
    "signatures",
    "quarantine",
)
"""Every table that says what the log says; the canonical digest covers them all. What only helps to find rows (the
stretches, the values and the texts of heads) is none of them."""

HELPERS = (
    "kind_counts", "stretches", "value_stretches", "head_values", "history_values", "value_state",
    "search", "search_docs", "search_state",
)  # fmt: skip
"""Tables that only help to find rows."""

STATE_TABLES = """
CREATE TABLE view_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL,       -- everything up to here is folded; the fence of every batch
    recorded_us INTEGER NOT NULL,    -- the log's clock at that position, never going back
    epoch TEXT NOT NULL,             -- the stream this view was folded from
    schema_version INTEGER NOT NULL, -- of these tables
    fold_version INTEGER NOT NULL,   -- of the code that filled them
    event_id TEXT,                   -- of the event at that position: a log that has another there is another history
    event_hash BLOB NOT NULL         -- SHA-256 of its subject and payload
) STRICT;

CREATE TABLE quarantine (
    position INTEGER PRIMARY KEY,
    event_id TEXT,
    subject TEXT NOT NULL,
    recorded_us INTEGER NOT NULL,
    stage TEXT NOT NULL CHECK (stage IN ('decode', 'signature', 'fold', 'conflict')),
    error TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
"""
"""Tables that every projection's file has besides its own."""

TABLES_SQL = f"""
CREATE TABLE entities (
    entity_id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    kind TEXT NOT NULL,
    run TEXT NOT NULL,               -- the run a step belongs to, else ''
    name TEXT NOT NULL,              -- a run's name is its ID
    version TEXT NOT NULL,           -- '' for kinds without, and for the name that groups versions
    version_number INTEGER,          -- the order of the versions of a name
    reference TEXT NOT NULL,         -- the text form, such as model:churn@3
    created_position INTEGER NOT NULL,
    UNIQUE (project, kind, run, name, version)
) STRICT;

CREATE TABLE kind_counts (           -- how many entities of a kind there are: the home page shows it
    project TEXT NOT NULL,
    kind TEXT NOT NULL,
    entities INTEGER NOT NULL,       -- runs, steps and versions; not the rows that group versions
    PRIMARY KEY (project, kind)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER count_kinds AFTER INSERT ON entities WHEN {is_instance("new.")} BEGIN
    INSERT INTO kind_counts VALUES (new.project, new.kind, 1)
    ON CONFLICT DO UPDATE SET entities = entities + 1;
END;

CREATE TABLE paths (
    path_id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL CHECK (scope IN ('metadata', 'field')),
    key TEXT NOT NULL,               -- the top-level key
    path TEXT NOT NULL,              -- the whole path, key included
    UNIQUE (scope, key, path)
) STRICT;

CREATE TABLE history (               -- every row that there ever was; stretch by stretch, see stretches.py
    stretch INTEGER NOT NULL,        -- of its position
    entity_id INTEGER NOT NULL,
    path_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    type TEXT NOT NULL,              -- a value's type, or how it ended: removed, retracted
    value ANY,
    text TEXT,                       -- readable form where value is a BLOB
    PRIMARY KEY (stretch, entity_id, path_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE heads (                 -- the last row of history for each entity and path
    entity_id INTEGER NOT NULL,
    path_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    type TEXT NOT NULL,
    value ANY,
    text TEXT,
    PRIMARY KEY (entity_id, path_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
    source_id INTEGER NOT NULL,
    relation TEXT NOT NULL,          -- step produced|consumed artifact version, run made|used model version
    target_id INTEGER NOT NULL,
    position INTEGER NOT NULL,       -- when it was said; once for each start of a step
    PRIMARY KEY (source_id, relation, target_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE mentions (              -- which entities an event changed or linked
    position INTEGER NOT NULL,
    entity_id INTEGER NOT NULL,
    PRIMARY KEY (position, entity_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    occurred_us INTEGER NOT NULL,    -- producer's clock, microseconds since 1970
    recorded_us INTEGER NOT NULL,    -- log's clock, never going back
    actor_id INTEGER NOT NULL,
    producer_id INTEGER NOT NULL,
    producer_seq INTEGER NOT NULL,
    run_entity_id INTEGER,
    step_entity_id INTEGER,
    at_step INTEGER                  -- on the training's own axis
) STRICT;

CREATE TABLE actors (
    actor_id INTEGER PRIMARY KEY,
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    library TEXT NOT NULL,
    UNIQUE (user, host, pid, library)
) STRICT;

CREATE TABLE producers (
    producer_id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,           -- the same ID in another project is another producer
    producer TEXT NOT NULL,          -- the producer's own ID
    first_position INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    highest_seq INTEGER NOT NULL,    -- of its plausible numbers
    seen INTEGER NOT NULL,           -- events received, repeated and implausible numbers included
    late INTEGER NOT NULL,           -- events that came after a higher sequence number
    missing INTEGER NOT NULL,        -- numbers up to the highest that never came
    implausible INTEGER NOT NULL,    -- events with a number far beyond the highest: counted for nothing else
    ranges TEXT NOT NULL,            -- the numbers that came: first and last of each range
    UNIQUE (project, producer)
) STRICT;

CREATE TABLE actor_keys (            -- whose keys are: what the log's key has signed about them
    position INTEGER PRIMARY KEY,
    state TEXT NOT NULL,             -- registered, or revoked
    actor TEXT NOT NULL,
    public_key TEXT NOT NULL,        -- hex
    reason TEXT NOT NULL
) STRICT;

CREATE TABLE signers (               -- keys, and whose each was where it signed
    signer_id INTEGER PRIMARY KEY,
    public_key TEXT NOT NULL,        -- hex
    standing TEXT NOT NULL,          -- proved, unknown or revoked
    actor TEXT NOT NULL              -- '' where nobody has registered it
) STRICT;
CREATE INDEX signers_by_key ON signers (public_key);

CREATE TABLE signatures (            -- of the events that are signed
    position INTEGER PRIMARY KEY,
    signer_id INTEGER NOT NULL
) STRICT;

CREATE TABLE stretches (stretch INTEGER PRIMARY KEY) STRICT;        -- those of history and mentions
CREATE TABLE value_stretches (stretch INTEGER PRIMARY KEY) STRICT;  -- those of history_values

CREATE TABLE head_values (           -- the values of heads that can be searched by value, as of value_state
    entity_id INTEGER NOT NULL,
    path_id INTEGER NOT NULL,
    type TEXT NOT NULL,
    value ANY,                       -- NULL where it has ended or is long
    PRIMARY KEY (entity_id, path_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE history_values (        -- the values of history that can be searched, as of value_state
    stretch INTEGER NOT NULL,        -- of its position; see value_stretches
    path_id INTEGER NOT NULL,
    value ANY NOT NULL,
    type TEXT NOT NULL,
    entity_id INTEGER NOT NULL,
    position INTEGER NOT NULL,       -- of the first such value in the stretch
    PRIMARY KEY (stretch, path_id, value, type, entity_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE value_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL,       -- head_values is complete up to here
    history_position INTEGER NOT NULL -- and history_values up to here
) STRICT;
INSERT INTO value_state VALUES (1, 0, 0);

CREATE TABLE search_docs (           -- one document of the full-text index
    doc_id INTEGER PRIMARY KEY,      -- its rowid in search
    entity_id INTEGER NOT NULL,
    path_id INTEGER NOT NULL,        -- 0: the entity's name and version
    UNIQUE (entity_id, path_id)
) STRICT;
CREATE VIRTUAL TABLE search USING fts5(key, text, grams, tokenize = 'unicode61 remove_diacritics 2');
CREATE TABLE search_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    position INTEGER NOT NULL        -- the full-text index is complete up to here
) STRICT;
INSERT INTO search_state VALUES (1, 0);
"""

INDEXES = {
    "entities_by_time": "entities (project, kind, created_position)",
    "links_by_target": "links (target_id, relation)",
    "mentions_by_entity": f"mentions ({HISTORY_STRETCH}, entity_id)",
    "heads_by_value": "head_values (path_id, value, type) WHERE value IS NOT NULL",
    "heads_without_value": "head_values (path_id, type) WHERE value IS NULL",
}
"""Indexes that only readers need: a file that is filled in bulk gets them at the end, in one sort each."""

_READABLE = """CASE h.type
    WHEN 'none' THEN 'null'
    WHEN 'bool' THEN iif(h.value, 'true', 'false')
    WHEN 'bytes' THEN hex(h.value)
    WHEN 'timedelta' THEN printf('%.6f s', h.value / 1e6)
    ELSE coalesce(h.text, CAST(h.value AS TEXT))
END"""

# A Decimal or a large integer is text; NaN is no number that SQL knows.
_NUMBER = """CASE WHEN h.type IN ('int', 'float', 'StorageSize', 'decimal')
    THEN iif(typeof(h.value) = 'text', iif(h.value GLOB '[-0-9]*', CAST(h.value AS REAL), NULL), h.value) END"""

_WHEN = "strftime('%Y-%m-%dT%H:%M:%fZ', ev.recorded_us / 1e6, 'unixepoch')"

_ENTRY_COLUMNS = f"""
    e.project, e.reference, e.kind, e.name, e.version, p.key, p.path, h.type,
    {_READABLE} AS value, {_NUMBER} AS number, h.position, {_WHEN} AS created, a.user, a.host, ev.event_id
"""

_ENTRY_JOINS = """
    JOIN entities e USING (entity_id) JOIN paths p USING (path_id)
    JOIN events ev USING (position) JOIN actors a USING (actor_id)
"""

READABLE_VIEWS = f"""
CREATE VIEW current_metadata AS SELECT {_ENTRY_COLUMNS} FROM heads h {_ENTRY_JOINS}
WHERE p.scope = 'metadata' AND h.type NOT IN {ENDED_SQL};

CREATE VIEW metadata_history AS SELECT {_ENTRY_COLUMNS} FROM history h {_ENTRY_JOINS}
WHERE p.scope = 'metadata';

CREATE VIEW current_fields AS SELECT {_ENTRY_COLUMNS} FROM heads h {_ENTRY_JOINS}
WHERE p.scope = 'field' AND h.type NOT IN {ENDED_SQL};
"""

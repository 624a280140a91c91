"""Locks of the whole process that a fork takes: what another thread does under them cannot be finished in a child."""

from __future__ import annotations

from runlore.producer.call_lock import CallLock

IMPORT_GATE = CallLock()
"""Held while something is imported later than at the start (nats-py, sqlite3): a child cannot finish an import that a
thread began."""
SQLITE_GATE = CallLock()
"""Held around SQLite calls, always taken after an outbox's own lock: who has it waits for nobody. The child must not
inherit SQLite's mutexes locked."""

"""Limits of one event. The producer raises beyond them, the fold quarantines.

An event of the default size (``RUNLORE_MAX_EVENT_BYTES``, 1 MB) has no room for more entities or leaves than these.
"""

from __future__ import annotations

MAX_NAME_BYTES = 200
"""UTF-8 bytes of a name, version, stage, run ID, pipeline or project: subjects stay far below NATS's 4,096."""

MAX_STEP_BYTES = 220
"""UTF-8 bytes of a step's name with the number of its call, such as ``train_2``."""

MAX_LABEL_BYTES = 10_000
"""UTF-8 bytes of a run's own name (`run_started.name`), which identifies nothing and may hold any character."""

MAX_KEY_BYTES = 65_536
"""UTF-8 bytes of one metadata key, at any depth."""

MAX_DEPTH = 32
"""Levels of dicts, lists, tuples and sets below a metadata key."""

MAX_TARGETS = 50_000
"""Entities of one event."""

MAX_PATHS = 10_000
"""Paths of one retraction."""

MAX_TAGS = 1_000
"""Tags that one event adds or removes, and tags of one entity."""

MAX_LEAVES = 200_000
"""Leaves of one event: values that are no group."""

MAX_ROWS = 1_000_000
"""Leaves of one event times its entities; for a retraction, its paths times its entities."""

MAX_PATH_CHARACTERS = 50_000_000
"""Characters of all leaves' paths of one event: a long group key counts once for each of its leaves."""

MAX_EVENT_BYTES = 16_000_000
"""Encoded bytes of one event, whatever ``RUNLORE_MAX_EVENT_BYTES`` says: the bound of its texts and elements."""

MAX_COPIED_CHARACTERS = 250_000_000
"""Characters of texts and bytes that the view stores for one event: each of its entities gets a copy."""

MAX_NUMBER = 2**53
"""A producer's number of an event, and a process ID."""

MAX_SET = 50_000
"""Elements of one set. Python's sets are slow for elements that are chosen to be so."""

MAX_EQUAL_HASHES = 16
"""Elements of one set with the same hash: each is compared with all of them."""

MAX_NUMBER_BYTES = 8_192
"""Bytes of an integer beyond 64 bits: about 19,700 digits."""

MAX_DECIMAL_CHARACTERS = 20_000
"""Characters of a Decimal's text."""

SCANNED_BYTES = 1_000
"""Encoded bytes above which the keys of a value are looked at before it is decoded: fewer cannot be slow."""

COUNTED_BYTES = 10_000
"""An event of fewer encoded bytes has no room to exceed the counts above, so the producer does not count."""

"""Messages that are about the log itself: statements about keys, erasures, and retention. They are no events."""

from __future__ import annotations

from runlore.schemas.shards import is_signing_subject
from runlore.store.audit.erasure import is_erasure
from runlore.store.audit.retention import is_retention
from runlore.store.audit.statement import is_statement


def is_about_log(subject: str, payload: bytes) -> bool:
    """Return whether a message of the log is one of these statements, valid or not."""
    return is_signing_subject(subject) and (
        is_statement(subject, payload) or is_erasure(subject, payload) or is_retention(subject, payload)
    )

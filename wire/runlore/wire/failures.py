"""What nats-py raises, as Runlore's errors: the one place that knows both. Imports nats-py."""

from __future__ import annotations

import re

import nats.errors

from runlore.schemas.errors import AccessDeniedError, ServerUnavailableError

NatsError = nats.errors.Error
"""Base of what nats-py itself raises."""
NoRespondersError = nats.errors.NoRespondersError
NatsTimeoutError = nats.errors.TimeoutError
NATS_ERRORS = (OSError, NatsError)
"""Everything by which a connection fails. Not for code that raises errors of ours, some of which are OSErrors."""

# The server tells reasons as text only: nats-py has a class for the first of these.
_DENIED = re.compile(r"authorization|authentication|permissions violation", re.IGNORECASE)


INBOX_ADVICE = "set RUNLORE_INBOX_PREFIX to the prefix of this user, such as _INBOX_projector"


class InboxDeniedError(AccessDeniedError):
    """The server refuses this user the inbox that answers would come to, whatever was asked."""


def is_denied(error: BaseException) -> bool:
    """Return whether the server refuses the user, as opposed to not answering."""
    return isinstance(error, nats.errors.AuthorizationError) or bool(_DENIED.search(str(error)))


def is_hang_up(error: BaseException) -> bool:
    """Return whether the server closed the connection without a word."""
    return isinstance(error, (ConnectionError, nats.errors.UnexpectedEOF))


def is_no_introduction(error: BaseException) -> bool:
    """Return whether what answered was not the INFO line with which a NATS server begins."""
    return isinstance(error, NatsError) and "info message" in str(error).lower()


def denies_publish(error: BaseException | None, subject: str) -> bool:
    """Return whether an error forbids publishing on a subject. The server writes it in lower case."""
    return error is not None and f'permissions violation for publish to "{subject.lower()}"' in str(error).lower()


def denies_subscription(error: BaseException | None) -> bool:
    """Return whether an error forbids receiving on a subject."""
    return error is not None and "permissions violation for subscription" in str(error).lower()


def unavailable(error: BaseException, what: str, advice: str = "") -> ServerUnavailableError:
    """Return the error for what failed: AccessDeniedError where the server refuses this user."""
    kind = AccessDeniedError if is_denied(error) else ServerUnavailableError
    return kind(f"{what}: {str(error) or type(error).__name__}{advice}")

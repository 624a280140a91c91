"""RFC 3161 time stamps: an authority signs that it has seen the text of a checkpoint, and when.

The text is what the log's key signs: origin, size and root. So `openssl ts -verify` checks a time stamp, too.
"""

from __future__ import annotations

import datetime as dt
import http.client
import urllib.request
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.x509 import Certificate, ExtendedKeyUsage, ExtensionNotFound, load_pem_x509_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID

from runlore.schemas.errors import CorruptLogError, SettingsError
from runlore.store.audit.checkpoint import note_lines

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse
    from rfc3161_client.verify import Verifier

ASK_SECONDS = 5.0
MAX_STAMP_BYTES = 64 * 1024
_QUERY, _GRANTED = "application/timestamp-query", 0


def require_library() -> None:
    """Raise SettingsError where the library is not installed."""
    try:
        import rfc3161_client  # noqa: F401
    except ImportError:
        raise SettingsError("time stamps need the package rfc3161-client: pip install 'runlore[timestamps]'") from None


def stamped_text(note: str) -> bytes:
    """What of a checkpoint gets a time stamp: the text before the signatures, which may become more."""
    return note_lines(note)[0].encode()


def ask(url: str, text: bytes) -> bytes:
    """Have a text stamped: the authority's answer (TimeStampResp, DER). Blocks; raises OSError when it gives none.

    That the answer is about this text is checked, its signature is not: that is for auditors, with a certificate.
    """
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    builder = TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA256)
    query = builder.nonce(nonce=True).cert_request(cert_request=True).build()
    post = urllib.request.Request(url, query.as_bytes(), {"Content-Type": _QUERY})  # noqa: S310 -- http(s), as the setting requires
    try:
        with urllib.request.urlopen(post, timeout=ASK_SECONDS) as answer:  # noqa: S310 -- as above
            response = bytes(answer.read(MAX_STAMP_BYTES + 1))
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    try:
        stamp = _decoded(response)
    except CorruptLogError as error:
        raise OSError(str(error)) from error
    if stamp.tst_info.nonce != query.nonce or stamp.tst_info.message_imprint.message != sha256(text).digest():
        raise OSError("it stamped something else than it was asked to")
    return response


class Authority:
    """The certificates by which time stamps are believed."""

    def __init__(self, certificates: Sequence[Certificate]) -> None:
        """Certificates that issued themselves are roots. If some are of authorities for time stamps, only those count.

        Raises SettingsError without a root, or without the library.
        """
        require_library()
        from rfc3161_client import VerifierBuilder

        roots = [one for one in certificates if one.issuer == one.subject]
        stamping = [one for one in certificates if one not in roots and _stamps(one)]
        between = [one for one in certificates if one not in roots and one not in stamping]
        if not roots:
            raise SettingsError("no certificate in it issued itself: give the root that the authority's leads to, too")
        leaves: list[Certificate | None] = [*stamping] if stamping else [None]
        self._verifiers: list[Verifier] = [
            VerifierBuilder(roots=[*roots], intermediates=[*between], tsa_certificate=one).build() for one in leaves
        ]

    @classmethod
    def read(cls, path: Path) -> Authority:
        """The certificates of a PEM file. Raises SettingsError."""
        try:
            return cls(load_pem_x509_certificates(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{path} holds no certificates in PEM: {error}") from error
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from error

    def time_of(self, response: bytes, note: str) -> dt.datetime:
        """When the authority has seen the text of a checkpoint, by its clock. Raises CorruptLogError."""
        from rfc3161_client import VerificationError

        stamp, reason = _decoded(response), ""
        for verifier in self._verifiers:
            try:
                verifier.verify_message(stamp, stamped_text(note))
            except (VerificationError, ValueError) as error:
                reason = str(error)
            else:
                return stamp.tst_info.gen_time.astimezone(dt.UTC)
        raise CorruptLogError(f"the time stamp is not one of this checkpoint by this authority: {reason[:300]}")


def _decoded(response: bytes) -> TimeStampResponse:
    """An answer that granted a time stamp. Raises CorruptLogError."""
    from rfc3161_client import decode_timestamp_response

    if len(response) > MAX_STAMP_BYTES:
        raise CorruptLogError("the time stamp is too large")
    try:
        stamp = decode_timestamp_response(response)
        if stamp.status != _GRANTED:
            raise CorruptLogError(f"the authority refused, with status {stamp.status}: {stamp.status_string}")
        stamp.tst_info  # noqa: B018 -- decoded at the first use
    except ValueError as error:
        raise CorruptLogError(f"this is no time stamp: {error}") from error
    return stamp


def _stamps(certificate: Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.TIME_STAMPING in usage

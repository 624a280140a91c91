"""Tokens of the page: the one of the data folder, which shows all, and those that show some projects.

<data>/dashboard.token     the folder's own, as text: `runlore up` and `runlore dashboard` print links with it
<data>/page-tokens.json    hashes of those for projects, made by `runlore dashboard token create`

Both have mode 0600. A token for projects is shown once, when it is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Generator, Sequence

import msgspec

from runlore.schemas.errors import FolderError, NotFoundError
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.ownership import read_private, require_own_folder
from runlore.store.private_files import read_trusted, write_private, write_struct
from runlore.store.private_folder import claim_folder

STRONG_CHARACTERS = 32
"""A token of at least this length cannot be guessed by trying; all that are made here are longer."""
WAIT_SECONDS = 5.0


class PageToken(msgspec.Struct, frozen=True):
    """One token that shows some projects."""

    id: str
    """By which it is listed and revoked; no secret."""
    projects: tuple[str, ...]
    digest: str
    """SHA-256 of the token, in hexadecimal. It is random, so that a plain hash is enough."""
    created: float
    """Unix seconds."""
    expires: float | None
    """Unix seconds; None for never."""

    def is_valid(self, now: float) -> bool:
        """Return whether it has not expired."""
        return self.expires is None or now < self.expires


class _Kept(msgspec.Struct, frozen=True):
    """The content of page-tokens.json."""

    tokens: tuple[PageToken, ...] = ()


def digest_of(token: str) -> str:
    """Return the hash by which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def page_tokens(data: DataDir) -> list[PageToken]:
    """Return the tokens for projects, oldest first, expired ones included.

    Raises FolderError where the file cannot be trusted, or is not for this user.
    """
    kept = read_trusted(data.page_tokens, _Kept)
    return [] if kept is None else list(kept.tokens)


def create_page_token(data: DataDir, projects: Sequence[str], seconds: float | None) -> tuple[str, PageToken]:
    """Make a token that shows these projects, for a number of seconds (None: for ever). Raises FolderError."""
    token, now = _fresh(), time.time()
    made = PageToken(
        secrets.token_hex(4),
        tuple(dict.fromkeys(projects)),
        digest_of(token),
        now,
        None if seconds is None else now + seconds,
    )
    claim_folder(data)
    with _writing(data):
        valid = [one for one in page_tokens(data) if one.is_valid(now)]
        write_struct(data.page_tokens, _Kept((*valid, made)))
    return token, made


def revoke_page_token(data: DataDir, name: str) -> PageToken:
    """Remove a token by its ID: it opens nothing more, nor do the sessions begun with it. Raises NotFoundError."""
    with _writing(data):
        kept = page_tokens(data)
        gone = next((one for one in kept if one.id == name), None)
        if gone is None:
            raise NotFoundError(f"no token {name!r}: `runlore dashboard token list` names those that there are")
        write_struct(data.page_tokens, _Kept(tuple(one for one in kept if one is not gone)))
    return gone


def folder_token(data: DataDir) -> str:
    """Return the token of the data folder, made at its first use.

    One that only this process knows, where the folder is another user's who shares it, or cannot be written.
    """
    try:
        require_own_folder(data.root)
        known = _known_token(data)
        if known is None:
            claim_folder(data)
            with _writing(data):
                known = _known_token(data)
                if known is None:
                    known = _fresh()
                    write_private(data.dashboard_token, f"{known}\n".encode())
    except FolderError:
        return _fresh()
    return known


def page_link(url: str, settings: Settings) -> str:
    """Return the address of the page with the folder's token, where that is the one that opens it.

    A token that somebody chose is not written to terminals and logs.
    """
    if settings.dashboard_no_token or settings.dashboard_token:
        return url
    with contextlib.suppress(FolderError):
        token = _known_token(DataDir(settings.data_dir))
        return url if token is None else link_with(url, token)
    return url


def link_with(url: str, token: str) -> str:
    """Return the address of the page that signs in who follows it."""
    return f"{url}/?token={token}"


def _known_token(data: DataDir) -> str | None:
    try:
        found = read_private(data.dashboard_token).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    return found if len(found) >= STRONG_CHARACTERS and found.isalnum() else None


def _fresh() -> str:
    return secrets.token_hex(24)


@contextlib.contextmanager
def _writing(data: DataDir) -> Generator[None]:
    lock = FolderLock(data.root / "page-tokens.lock", "a change of page tokens")
    lock.acquire(WAIT_SECONDS)
    try:
        yield
    finally:
        lock.release()

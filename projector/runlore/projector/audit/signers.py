"""Where the signing key is: in a file (plain, or encrypted with a passphrase), or behind a command.

A command gets the bytes to sign on its standard input and writes the Ed25519 signature to its standard output, 64 raw
bytes or their base64: a small program before an HSM, a KMS or an agent. This process never sees its key.
"""

from __future__ import annotations

import base64
import shlex
import subprocess
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from runlore.projector.audit.keys import SigningError, Verifier, load_or_make_signer, load_signer
from runlore.schemas.errors import NotFoundError, SettingsError
from runlore.schemas.settings import Settings
from runlore.store.audit.checkpoint import SigningKey
from runlore.store.folder import DataDir
from runlore.store.key_files import read_passphrase

COMMAND_SECONDS = 10.0
_SIGNATURE_BYTES = 64


class Signing(SigningKey, Protocol):
    """A private key that signs under a name."""

    @property
    def verifier(self) -> Verifier: ...


class KeySource(Protocol):
    """The signing key of a data folder, wherever it is."""

    def exists(self) -> bool:
        """Return whether there is a key."""
        ...

    def load(self, name: str) -> Signing:
        """The key, to sign under `name`. Raises NotFoundError, SettingsError."""
        ...

    def load_or_make(self, name: str) -> Signing:
        """The same, with a new key where there is none and one can be made."""
        ...

    def __str__(self) -> str:
        """What an operator knows it by."""
        ...


class KeyFile:
    """A key in a PEM file; with a passphrase, the file is encrypted."""

    def __init__(self, path: Path, passphrase: bytes | None = None) -> None:
        self.path, self.passphrase = path, passphrase

    def exists(self) -> bool:
        return self.path.exists()

    def load(self, name: str) -> Signing:
        return load_signer(self.path, name, self.passphrase)

    def load_or_make(self, name: str) -> Signing:
        return load_or_make_signer(self.path, name, self.passphrase)

    def __str__(self) -> str:
        return str(self.path)


class KeyCommand:
    """A key behind a command. `public`: a file with its public key (PEM, or a vkey of any name)."""

    def __init__(self, command: str, public: Path) -> None:
        self._command, self._public = command, public

    def exists(self) -> bool:
        return True

    def load(self, name: str) -> Signing:
        return CommandSigner(Verifier(name, read_public(self._public)), self._command)

    def load_or_make(self, name: str) -> Signing:
        return self.load(name)

    def __str__(self) -> str:
        return "the key of RUNLORE_SIGNER_COMMAND"


class CommandSigner:
    """Signs by running a command."""

    def __init__(self, verifier: Verifier, command: str) -> None:
        self.verifier, self._command = verifier, command

    def sign(self, message: bytes) -> bytes:
        """64 bytes, which verify. Raises SigningError when the command gives anything else."""
        try:
            done = subprocess.run(  # noqa: S603 -- the operator's own program
                shlex.split(self._command), input=message, capture_output=True, timeout=COMMAND_SECONDS, check=True
            )
        except subprocess.CalledProcessError as error:
            output = error.stderr.decode(errors="replace").strip()[-300:]
            raise SigningError(f"RUNLORE_SIGNER_COMMAND ended with {error.returncode}: {output}") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SigningError(f"RUNLORE_SIGNER_COMMAND signs nothing: {error}") from None
        signature = _signature(done.stdout)
        if not self.verifier.verifies(message, signature):
            raise SigningError(
                "RUNLORE_SIGNER_COMMAND wrote no signature of the key in RUNLORE_SIGNER_PUBLIC_KEY: it must write "
                "64 bytes, or their base64, and nothing else"
            )
        return signature


def key_source(settings: Settings) -> KeySource:
    """Where the settings say that the signing key is. Raises SettingsError."""
    if settings.signer_command is None:
        return KeyFile(DataDir(settings.data_dir).checkpoint_key, passphrase_of(settings))
    if settings.signer_public_key is None:
        raise SettingsError("RUNLORE_SIGNER_COMMAND also needs RUNLORE_SIGNER_PUBLIC_KEY, a file with its public key")
    return KeyCommand(settings.signer_command, Path(settings.signer_public_key))


def passphrase_of(settings: Settings) -> bytes | None:
    """The passphrase of the key's file, if it is encrypted. Raises SettingsError."""
    if settings.signer_passphrase is not None:
        return settings.signer_passphrase.encode()
    if settings.signer_passphrase_file is not None:
        return read_passphrase(Path(settings.signer_passphrase_file))
    return None


def read_public(path: Path) -> bytes:
    """The 32 bytes of a public key in a file: PEM, or a vkey of any name. Raises NotFoundError, SettingsError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"no public key at {path}: {error.strerror}") from None
    if not content.startswith(b"-----"):
        return Verifier.parse(content.decode(errors="replace")).public
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{path} holds no public key that can be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(f"{path} holds another kind of key than Ed25519")
    return key.public_bytes_raw()


def _signature(output: bytes) -> bytes:
    if len(output) == _SIGNATURE_BYTES:
        return output
    try:
        return base64.b64decode(output.strip(), validate=True)
    except ValueError:
        return b""

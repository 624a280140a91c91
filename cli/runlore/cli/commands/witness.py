"""`runlore witness`: remember what logs have signed, and cosign what agrees with it."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import urlsplit

import click

from runlore.cli.auditing import KeyType
from runlore.cli.output import note, print_line
from runlore.cli.stop_signals import StopSignals
from runlore.projector.audit.cosignatures import Cosigner
from runlore.projector.audit.keys import Verifier, load_or_make_signer
from runlore.projector.audit.witness import Witness
from runlore.projector.audit.witness_server import WitnessServer
from runlore.projector.logs import configure_logs
from runlore.schemas.errors import SettingsError
from runlore.store.access import make_folder
from runlore.store.lock import FolderLock
from runlore.store.ownership import require_own_folder
from runlore.store.witness_folder import KEY, LOCK, MEMORY, require_no_data_folder

_WAKE_SECONDS = 60.0
"""Between two looks whether it should end; a signal wakes it at once."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", required=True, help="Name of this witness, like an address: witness.example.org/w1.")
@click.option("--log", "logs", type=KeyType(), multiple=True, metavar="VKEY|FILE", help="Public key of a log; several.")
@click.option("--listen", default="127.0.0.1:0", show_default=True, metavar="HOST:PORT", help="Where logs ask it.")
@click.option("--show-key", is_flag=True, help="Print its public key and end.")
def witness(folder: Path, name: str, logs: tuple[Verifier, ...], listen: str, show_key: bool) -> None:
    """Run a witness: it cosigns checkpoints of the logs it knows, and never two histories of one log.

    Run it where the operator of the log has no access. FOLDER holds its key and its memory: a witness that lost its
    memory must get a new key, for it would cosign another history. It prints its public key, for the policies of the
    log's projector (RUNLORE_WITNESS_POLICY) and of auditors. Put a server with TLS before it.

    \b
    Example:
      runlore witness /var/lib/witness --name witness.example.org/w1 --log log.key --listen 127.0.0.1:8480
    """
    if not name or any(letter in name for letter in "+\n") or name.split() != [name]:
        raise click.BadParameter("use a name without spaces and +", param_hint="--name")
    host, port = _place(listen)
    require_no_data_folder(folder)
    make_folder(folder)
    require_own_folder(folder)
    signer = load_or_make_signer(folder / KEY, name)
    print_line(Cosigner(name, signer.verifier.public).vkey)
    if show_key:
        return
    configure_logs()
    with FolderLock(folder / LOCK, "`runlore witness`"):
        try:
            server = WitnessServer(Witness(signer, folder / MEMORY, logs), host, port)
        except OSError as error:
            raise SettingsError(f"--listen {listen}: {error}") from error
        shown = f"[{host}]" if ":" in host else host
        note(f"listening on http://{shown}:{server.server_address[1]}")
        _serve(server)


def _place(listen: str) -> tuple[str, int]:
    """Host and port of --listen. Raises BadParameter."""
    try:
        parts = urlsplit(f"//{listen}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or "@" in listen:
        raise click.BadParameter("use HOST:PORT, with a port up to 65535; 0: any free one", param_hint="--listen")
    return host, port


def _serve(server: WitnessServer) -> None:
    with StopSignals() as stop:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,))
        thread.start()
        while not stop.wait(_WAKE_SECONDS):
            pass
        server.shutdown()
        thread.join()
    server.server_close()

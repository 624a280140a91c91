"""Time-stamping authorities of their own, made with openssl, behind HTTP on 127.0.0.1."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

_CONFIG = """
[tsa]
default_tsa = ours
[ours]
dir = {folder}
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
default_policy = 1.2.3.4.1
signer_digest = sha256
digests = sha256
ess_cert_id_alg = sha256
[root]
basicConstraints = critical,CA:TRUE
[leaf]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
[req]
distinguished_name = dn
[dn]
"""
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "tsa.cnf"]


class StampingAuthority:
    """An authority in a folder. `root`: its root certificate; `leaf`: that of the key that stamps."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self.root, self.leaf = folder, folder / "root.pem", folder / "tsa.pem"
        (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder))
        (folder / "serial").write_text("01")
        root = ["-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=Root", "-days", "2", "-extensions", "root"]
        self._openssl("req", "-x509", *_KEY, *root)
        self._openssl("req", *_KEY, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Stamps")
        signing = ["-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-extfile", "tsa.cnf"]
        self._openssl(
            "x509", "-req", "-in", "tsa.csr", *signing, "-extensions", "leaf", "-days", "2", "-out", "tsa.pem"
        )
        self.asked = 0

    @property
    def certificates(self) -> Path:
        """Both, in one file."""
        both = self._folder / "both.pem"
        both.write_bytes(self.root.read_bytes() + self.leaf.read_bytes())
        return both

    def reply(self, query: bytes) -> bytes:
        """What it answers to a query."""
        self.asked += 1
        (self._folder / "query").write_bytes(query)
        self._openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "answer")
        return (self._folder / "answer").read_bytes()

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)


def make_authority(folder: Path) -> StampingAuthority:
    """One in a new folder; the test is skipped where its programs are not."""
    pytest.importorskip("rfc3161_client")
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    return StampingAuthority(folder)


@contextlib.contextmanager
def serving(authority: StampingAuthority, port: int = 0) -> Iterator[str]:
    """Its address while it answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = authority.reply(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()

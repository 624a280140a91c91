"""The log as C2SP tlog-tiles: a client that has nothing but the paths rebuilds the root that was signed."""

from __future__ import annotations

import base64
import contextlib
import struct
from hashlib import sha256

import pytest
from starlette.testclient import TestClient

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.signing import CheckpointWriter
from runlore.query import Client
from runlore.query.tiles import tile_place
from runlore.schemas import NotFoundError
from runlore.store.folder import DataDir
from runlore.store.page_tokens import create_page_token
from tests.audit.logs import messages
from tests.dashboard.conftest import web_over
from tests.query.views import client_of

LEAVES = 900


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A view beside a log of 900 leaves, a gap of 100 positions among them, and 50 more that are not signed."""
    folder = tmp_path_factory.mktemp("tiles")
    found = client_of(folder, lambda log: log.log("run:r", {"n": 1}))
    data = DataDir(folder)
    with contextlib.closing(Archive.open(data.log, "epoch-1")) as archive:
        archive.append(messages(1, 299))
        archive.record_gap(300, 399, "lost")
        archive.append(messages(400, 999))
        CheckpointWriter(archive, data.checkpoint_key).sign()
        archive.append(messages(1000, 1049))
    return found


@pytest.fixture
def web(client: Client) -> TestClient:
    return web_over(client)


def parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def root(hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1, as it is written there."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return parent(root(hashes[:split]), root(hashes[split:]))


def hashes_of(tile: bytes) -> list[bytes]:
    return [tile[at : at + 32] for at in range(0, len(tile), 32)]


def entries_of(bundle: bytes) -> list[bytes]:
    found: list[bytes] = []
    while bundle:
        (length,) = struct.unpack_from(">H", bundle)
        found.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    return found


def test_tiles_and_entries_give_the_signed_root(web: TestClient) -> None:
    answer = web.get("/checkpoint")
    _, size, signed = answer.text.split("\n")[:3]
    assert (answer.headers["content-type"], int(size)) == ("text/plain; charset=utf-8", LEAVES)
    tiles = [f"{index:03}" for index in range(3)] + [f"003.p/{LEAVES % 256}"]
    leaves = [one for tile in tiles for one in hashes_of(web.get(f"/tile/0/{tile}").content)]
    entries = [one for tile in tiles for one in entries_of(web.get(f"/tile/entries/{tile}").content)]
    assert [sha256(b"\0" + entry).digest() for entry in entries] == leaves
    assert base64.b64encode(root(leaves)).decode() == signed
    assert hashes_of(web.get("/tile/1/000.p/3").content) == [root(leaves[at : at + 256]) for at in (0, 256, 512)]
    assert b"lost" in entries[299]
    assert hashes_of(web.get("/tile/0/003.p/1").content) == leaves[768:769], "of an older checkpoint"
    assert "immutable" in web.get("/tile/0/000").headers["cache-control"]
    assert web.get("/tile/0/000").headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "path",
    ["0/003", "0/003.p/133", "0/004", "0/000.p/0", "0/000.p/256", "0/0", "0/x000/000", "0/x001/000", "1/000", "1/000.p/4",
     "2/000.p/1", "63/000", "64/000", "0/000.p/01", "0/-01", "entries/003", "entries/x", "0/../000"],
)  # fmt: skip
def test_what_the_checkpoint_does_not_cover_is_not_there(web: TestClient, path: str) -> None:
    assert web.get(f"/tile/{path}").status_code == 404


def test_addresses_are_those_of_the_specification() -> None:
    assert tile_place("x001/x234/067", 1234068 * 256) == (1234067, 256)
    assert tile_place("x273/000.p/112", 1 << 40) == (273_000, 112)
    with pytest.raises(NotFoundError):
        tile_place("1234067", 1 << 40)


def test_tiles_ask_for_the_token_and_a_projects_token_shows_no_entries(client: Client) -> None:
    web = web_over(client, "secret-token-of-the-page")
    for path in ("/checkpoint", "/tile/0/000", "/tile/entries/000"):
        assert web.get(path).status_code == 401, "a program is not sent to a page to sign in"
        assert web.get(path, headers={"Authorization": "Bearer secret-token-of-the-page"}).status_code == 200
    assert client.scope.reader.data is not None
    token, _ = create_page_token(client.scope.reader.data, ["default"], 3600)
    codes = [
        web.get(path, headers={"Authorization": f"Bearer {token}"}).status_code
        for path in ("/checkpoint", "/tile/0/000", "/tile/entries/000")
    ]
    assert codes == [200, 200, 404], "entries name entities of all projects"

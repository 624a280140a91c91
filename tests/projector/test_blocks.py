from __future__ import annotations

import pytest

from runlore.projector.restoring.highway import HighwayHash64

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("length", "published"),
    [(0, 0x907A56DE22C26E53), (1, 0x7EAB43AAC7CDDD78), (2, 0xB8D0569AB0B53D62), (3, 0x5C6BEFAB8A463D80)],
)
def test_the_hash_is_that_of_the_published_vectors(length: int, published: int) -> None:
    assert HighwayHash64(KEY).digest(bytes(range(length))) == published.to_bytes(8, "little")


def test_every_length_of_a_rest_counts() -> None:
    # Whether the bytes are right is the server's to say: it reads back every block in tests/faults/test_restore.py.
    digests = {HighwayHash64(KEY).digest(bytes(length)) for length in range(100)}
    assert len(digests) == 100

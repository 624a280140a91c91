from __future__ import annotations

from pathlib import Path

import msgspec

from runlore.query import Client
from runlore.query.page.counts import KindCounts
from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.query.views import client_of, fold_live


def test_counts_follow_a_view_made_anew_in_which_ids_mean_other_things(tmp_path: Path) -> None:
    log = LogBuilder()
    log.log("artifact:a@1", {"x": 1})
    log.log("model:m@1", {"x": 1})
    log.log("artifact:b@1", {"x": 1})
    readable = log.rows[1]
    log.rows[1] = readable._replace(payload=msgspec.msgpack.encode("of a newer version"))
    data, counts = DataDir(tmp_path), KindCounts()
    fold_live(data, log)
    with Client(tmp_path) as client:
        assert counts.of(client.scope) == {"artifact": 2}
        log.rows[1] = readable
        fold_live(data, log, generation=2)
        log.log("artifact:c@1", {"x": 1})
        assert counts.of(client.scope) == client.list_kinds() == {"artifact": 2, "model": 1}


def test_the_kept_counts_are_those_that_counting_finds(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for number in range(3):
            log.log(f"model:m@{number}", {"x": 1})
            log.log(f"artifact:a{number}@1", {"x": 1})
            log.log("run:r1", {"x": number})
            log.log(f"step:r1/s{number}", {"x": 1})

    with client_of(tmp_path, write) as client, Client(tmp_path, as_of=client.position) as counted:
        assert client.list_kinds() == counted.list_kinds() == {"artifact": 3, "model": 3, "run": 1, "step": 3}

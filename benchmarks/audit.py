"""The audit: leaf and tree an event, verification without replay, memory, and bytes on disk."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import data_folder, figure, timed
from benchmarks.folding import messages, write_log
from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.growth import message_leaves
from runlore.projector.audit.keys import load_or_make_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.audit.verify import verify_log
from runlore.projector.views.rebuild import rebuild_view
from runlore.store.audit.leaf import LeafCoder, origin_of
from runlore.store.audit.tree import Tree
from runlore.store.folder import DataDir

EVENTS = 200_000
BATCH = 4_000
TREE_TABLES = ("tree_leaves", "tree_nodes", "tree_state", "checkpoints")


def main() -> None:
    _leaf_and_tree()
    for events in (EVENTS // 4, EVENTS):
        _verify(events)
    _proofs_and_bytes()


def _leaf_and_tree() -> None:
    batches = [list(messages(BATCH, 250, start)) for start in range(1, 20 * BATCH, BATCH)]
    coder, tree, seconds = LeafCoder("benchmark"), Tree(), 0.0
    for batch in batches:
        started = time.process_time()
        tree = tree.grown(message_leaves(coder, batch)).tree
        seconds += time.process_time() - started
    figure("leaf and tree, CPU an event", f"{seconds / tree.size * 1e6:.1f} µs", "target 5 µs")


def _verify(events: int) -> None:
    """Verify in a separate process, to measure its memory alone."""
    with data_folder() as folder:
        data = DataDir(folder)
        write_log(data.log, events, 250)
        _sign(data)
        command = [sys.executable, "-m", "benchmarks.audit", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, cpu, mebibytes = map(float, done.stdout.split())
        figure(f"verify without replay, {events:,} events", f"{events / seconds:,.0f} events/s", "target 100,000/s")
        figure(
            "  CPU an event; memory it adds",
            f"{cpu / events * 1e6:.1f} µs, {mebibytes:.1f} MiB",
            "memory does not grow",
        )


def _sign(data: DataDir) -> None:
    archive = Archive.open(data.log, "benchmark")
    CheckpointWriter(archive, data.checkpoint_key).sign()
    archive.close()


def _verify_here(folder: Path) -> None:
    data = DataDir(folder)
    key = load_or_make_signer(data.checkpoint_key, origin_of("benchmark")).verifier
    before, cpu = _peak_kib(), time.process_time()
    seconds = timed(lambda: _require_good(data, key))
    print(seconds, time.process_time() - cpu, (_peak_kib() - before) / 1024)


def _peak_kib() -> int:
    """Of this program alone; getrusage would include what the process was before exec."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def _require_good(data: DataDir, key: object) -> None:
    report = verify_log(data.log, [key])  # type: ignore[list-item]
    assert not report.problems, report.problems
    assert report.checkpoints


def _proofs_and_bytes() -> None:
    with data_folder() as folder:
        data = DataDir(folder)
        write_log(data.log, EVENTS, 250)
        _sign(data)
        key = load_or_make_signer(data.checkpoint_key, origin_of("benchmark")).verifier
        with contextlib.closing(open_audited(data.log)) as connection:
            prover = Prover(connection, [key])
            positions = range(1, EVENTS, EVENTS // 500)
            seconds = timed(lambda: [prover.event(position) for position in positions])
            figure("inclusion proof, made and verified", f"{seconds / len(positions) * 1e3:.2f} ms")
        rebuild_view(data)
        connection = sqlite3.connect(data.log)
        payload = connection.execute("SELECT sum(length(payload)) FROM log").fetchone()[0]
        marks = ", ".join("?" * len(TREE_TABLES))
        tree = connection.execute(f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({marks})", TREE_TABLES).fetchone()[0]
        connection.close()
        log, view = data.log.stat().st_size, data.current_view().stat().st_size
        figure("bytes on disk a payload byte: log without tree", f"{(log - tree) / payload:.2f}")
        figure("  tree", f"{tree / payload:.2f} ({tree / EVENTS:.1f} bytes an event)")
        figure("  view", f"{view / payload:.2f}")
        figure("  all", f"{(log + view) / payload:.2f}", "target 6")


if __name__ == "__main__":
    _verify_here(Path(sys.argv[1]))

"""A projector's folder without a server: a log with every kind of content, and erasures as the projector does them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from runlore.projector.archiving.erasing import Erasing
from runlore.projector.audit.keys import load_or_make_signer
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.erasures.erase import ErasingFolder, Target
from runlore.projector.erasures.plan import ErasurePlan
from runlore.projector.erasures.retaining import run_rules
from runlore.projector.views.generations import remove_old_views
from runlore.projector.views.rebuild import rebuild_view
from runlore.query import Client
from runlore.schemas import (
    EntityRef,
    MetadataRetracted,
    ModelStageChanged,
    NoteAdded,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    parse_ref,
    read_settings,
)
from runlore.schemas.subjects import SIGNING_SUBJECT, subject_for
from runlore.schemas.values import pack_metadata
from runlore.store.audit.erasure import statements_of
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.retention import Retention
from runlore.store.audit.statement import Series, next_statement_id
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.audit.logs import EPOCH, Folder
from tests.events import LogBuilder

SECRET = "zebra-4711"
MODEL, OTHER = parse_ref("model:churn@1"), parse_ref("model:churn@2")
RUN, STEP = parse_ref("run:r1"), EntityRef("step", "train", run="r1")
DAY = 86_400


class ErasableFolder(Folder):
    """The folder. Events are a day apart."""

    def __init__(self, root: Path) -> None:
        self.data = DataDir(root)
        self.data.projection.mkdir(parents=True)
        super().__init__(root)
        self.log = self.data.log
        self.built = LogBuilder()
        self.archive = self.open()
        self.writer = CheckpointWriter(self.archive, self.key)
        self.settings = read_settings(data_dir=root)

    def take(self, subject: str = "runlore.default.test") -> None:
        """Archive what was built since."""
        for row in self.built.rows[self.archive.position :]:
            when = int((dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp() + row.position * DAY) * 1e9)
            self.archive.append([Received(row.position, row.event_id, when, subject, b"", row.payload)])
        self.writer.sign()

    def fold(self) -> None:
        """Make the view again, as the projector does after an erasure."""
        self.archive.checkpoint()
        rebuild_view(self.data, compare=False)
        remove_old_views(self.data)

    def state(self, note: str, fold: bool = True) -> None:
        """Put a signed note into the log; without `fold` somebody else makes the view again."""
        series: Series = "erasure" if note.startswith("runlore/erasure") else "retention"
        self.built.add_raw(note.encode(), next_statement_id(self.archive.connection, series))
        self.take(SIGNING_SUBJECT)
        Erasing(self.archive).execute(self.verifier())
        if fold:
            self.fold()

    def plan(self, target: Target, reason: str = "left") -> ErasurePlan:
        return ErasingFolder(self.settings).plan(target, reason)

    def erase(self, target: Target, reason: str = "left") -> ErasurePlan:
        plan = self.plan(target, reason)
        self.carry_out(plan, reason)
        return plan

    def carry_out(self, plan: ErasurePlan, reason: str, fold: bool = True) -> None:
        for erasure in statements_of(reason, "ada", plan.events):
            self.state(erasure.signed(load_or_make_signer(self.key, origin_of(EPOCH))), fold)

    def say(self, statement: Retention) -> None:
        self.state(statement.signed(load_or_make_signer(self.key, origin_of(EPOCH))))

    def client(self) -> Client:
        return Client(self.data.root)

    def holding(self, text: str = SECRET) -> set[str]:
        """The files that hold a text, by their raw bytes."""
        files = [path for path in self.data.root.rglob("*") if path.is_file()]
        return {path.name for path in files if text.encode() in path.read_bytes()}


def with_everything(root: Path) -> ErasableFolder:
    """A folder whose log has the secret in every place where a person can put one."""
    made = ErasableFolder(root)
    add = made.built.add
    made.built.log("model:churn@1", {"customer": SECRET, "owner": "ada", "g": {"name": SECRET, "size": 3}})
    add(RunStarted("p", "r", parameters=pack_metadata({"user": SECRET, "opt": {"lr": 0.1, "who": SECRET}})), run="r1")
    add(StepStarted(parameters=pack_metadata({"user": SECRET})), run="r1", step="train")
    add(StepFinished("failed", "ValueError", f"no {SECRET}"), run="r1", step="train")
    add(RunFinished("failed", "ValueError", f"no {SECRET}"), run="r1")
    add(NoteAdded((MODEL, OTHER), f"ask {SECRET}"))
    add(MetadataRetracted((MODEL,), (("owner",),), f"{SECRET} asked"))
    add(ModelStageChanged(MODEL, "production", f"for {SECRET}"))
    made.take()
    broken = b"\xc1 not an event, but it holds " + SECRET.encode()
    made.built.add_raw(broken, "broken")
    made.take(subject_for("default", MODEL))
    again = made.built.log("model:churn@1", {"customer": f"forged {SECRET}"}, id=made.built.rows[0].event_id)
    assert again.event_id == made.built.rows[0].event_id
    made.take()
    made.fold()
    return made


def carried(folder: ErasableFolder) -> list[tuple[str, list[int], int, list[tuple[int, str]]]]:
    """What a dry run of the rules says: rule, events, number of values, and what is kept by which hold."""
    done = run_rules(ErasingFolder(folder.settings), "ada", 0, dry_run=True)
    return [
        (
            one.name,
            one.result.events,
            one.result.values,
            [(kept.wanted.position, kept.hold.retention.name) for kept in one.kept],
        )
        for one in done
    ]

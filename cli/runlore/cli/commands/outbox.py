"""`runlore outbox`: events of this machine that are not yet on the stream."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import click

from runlore.cli.options import data_dir_option, json_option, settings_for
from runlore.cli.output import print_json, print_line, print_table
from runlore.producer import DrainReport, OutboxStatus, drain, outbox_status
from runlore.query.plain import plain
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir

_SHOW_PROGRESS_AFTER = 2.0


@click.group()
def outbox() -> None:
    """Look at events that wait to be sent, and send them.

    \b
    Examples:
      runlore outbox status
      runlore outbox drain --timeout 60
    """


@outbox.command()
@data_dir_option
@json_option
def status(data_dir: Path | None, as_json: bool) -> None:
    """Show each outbox: its process, what waits, what is sent and kept until it is archived, and what was refused,
    and whether it is damaged.

    The last column says for whom it is: server, project, and the stream once it is known. Others leave it alone.
    """
    found = outbox_status(DataDir(settings_for(data_dir).data_dir))
    if as_json:
        print_json([plain(one) for one in found])
        return
    if not found:
        print_line("nothing waits")
        return
    print_table(
        ("producer", "process", "waiting", "kept", "refused", "for"),
        [
            (one.producer_id, _process(one), _waiting_in(one), str(one.kept), str(len(one.dead_letters)), _for(one))
            for one in found
        ],
    )
    for one in found:
        if one.damaged:
            print_line(f"damaged: {one.path}: {one.damaged}")
        for letter in one.dead_letters:
            print_line(f"refused: {letter.subject} (event {letter.seq} of {one.producer_id}): {letter.reason}")


def _process(one: OutboxStatus) -> str:
    return f"{one.pid or '?'} {'alive' if one.alive else 'ended'}"


def _waiting_in(one: OutboxStatus) -> str:
    return "damaged" if one.damaged else str(one.waiting)


def _for(one: OutboxStatus) -> str:
    server, project, epoch = one.destination
    stream = f"stream {epoch.partition('-')[0]}" if epoch else ""
    return ", ".join(filter(None, (server or "any server", project and f"project {project}", stream)))


@outbox.command(name="drain")
@click.option("--timeout", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds to try.")
@click.option("--retry-dead", is_flag=True, help="Send again what the server refused.")
@click.option(
    "--take-over",
    is_flag=True,
    help="Send also what was for another server, or for a stream that was replaced, to the one that is set now.",
)
@data_dir_option
@json_option
@click.pass_context
def drain_command(
    ctx: click.Context, timeout: float, retry_dead: bool, take_over: bool, data_dir: Path | None, as_json: bool
) -> None:
    """Send what processes that have ended left behind. Exits with 1 when something still waits.

    `runlore up` and every producer of the same data folder do this by themselves.
    """
    settings = settings_for(data_dir)
    report = _drain(settings, timeout, retry_dead, take_over)
    if as_json:
        print_json(plain(report))
    else:
        print_line(f"sent {report.sent}, still waiting {report.unsent}, refused {report.dead_letters}")
    if report.unsent or report.dead_letters:
        ctx.exit(1)


def _drain(settings: Settings, timeout: float, retry_dead: bool, take_over: bool) -> DrainReport:
    """Drain in a thread, so that a long one can show how far it is."""
    reports: list[DrainReport | BaseException] = []

    def work() -> None:
        try:
            reports.append(drain(settings, timeout, retry_dead_letters=retry_dead, take_over=take_over))
        except BaseException as error:  # noqa: BLE001 -- raised again below, in the thread that waits
            reports.append(error)

    total = _waiting(settings)
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(_SHOW_PROGRESS_AFTER)
    if worker.is_alive() and sys.stderr.isatty():
        _show_progress(worker, settings, total)
    worker.join()
    report = reports[0]
    if isinstance(report, BaseException):
        raise report
    return report


def _show_progress(worker: threading.Thread, settings: Settings, total: int) -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("sending", total=total)
        while worker.is_alive():
            progress.update(task, completed=total - _waiting(settings))
            time.sleep(0.2)


def _waiting(settings: Settings) -> int:
    return sum(one.waiting for one in outbox_status(DataDir(settings.data_dir)))

"""`runlore demo`: the whole way, on real work, in a folder of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from runlore.cli.children import child_environment, die_with_parent
from runlore.cli.options import settings_for
from runlore.cli.output import note
from runlore.cli.stack import EmbeddedStack, settings_environment
from runlore.cli.stop_signals import StopSignals
from runlore.schemas.errors import RunloreError, SettingsError

RUNS = (
    ("baseline", "--epochs", "6", "--max-depth", "3", "--learning-rate", "0.05"),
    ("deeper", "--epochs", "12", "--max-depth", "9", "--learning-rate", "0.2"),
)
"""Two runs with different settings, so that there is something to compare."""

_STOP_SECONDS = 10.0


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to keep everything in; else a new temporary one.",
)
@click.option("--keep", is_flag=True, help="Keep the temporary folder.")
def demo(data_dir: Path | None, keep: bool) -> None:
    """Train real classifiers in several processes, log what a team would log, and read it back.

    Starts NATS and the projector in a folder of its own, runs examples/classifiers twice, prints the
    result and stops everything. Takes about half a minute.
    """
    example = find_example()
    with _folder(data_dir, keep) as folder:
        settings = settings_for(folder)
        if settings.url:
            raise SettingsError("runlore demo starts a server of its own: unset RUNLORE_URL")
        log = folder / "projector.log"
        with StopSignals() as stop, EmbeddedStack(settings, note, projector_log=log) as stack:
            if not stack.wait_ready(stop.wait):
                raise click.Abort
            note(f"NATS at {stack.address}, projector at {stack.http}, data in {folder}")
            environ = child_environment(settings_environment(settings))
            for name, *options in RUNS:
                note(f"run {name}: load_data, 3 x train at once, evaluate, each in its own process ...")
                files = folder / "files" / name
                command = [str(example / "pipeline.py"), "--name", name, "--folder", str(files), *options]
                _run(command, environ, stack, stop, output=sys.stderr.fileno())
            _run([str(example / "report.py")], environ, stack, stop, output=None)
        if data_dir is not None or keep:
            click.echo(f"\nStart it again:  runlore up --data-dir {shlex.quote(str(folder))}")


def find_example() -> Path:
    """The folder of the pipeline that the demo runs. Raises SettingsError saying what is missing."""
    # The examples are not in the wheel: they belong to the checkout this package is installed from.
    folder = Path(__file__).resolve().parents[4] / "examples" / "classifiers"
    if not (folder / "pipeline.py").is_file():
        raise SettingsError(
            "runlore demo runs the pipeline in examples/, which is not part of the installed package: "
            "clone the repository and run `make demo` there"
        )
    if find_spec("sklearn") is None:
        raise SettingsError("runlore demo trains with scikit-learn: pip install 'runlore[examples]'")
    return folder


@contextmanager
def _folder(chosen: Path | None, keep: bool) -> Generator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="runlore-demo-")).resolve()
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _run(
    command: list[str], environ: dict[str, str], stack: EmbeddedStack, stop: StopSignals, output: int | None
) -> None:
    """Run a Python program to its end; on Ctrl-C end it and all its children first."""
    process = subprocess.Popen(  # noqa: S603 -- programs of our own examples
        [sys.executable, *command],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=output,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    try:
        while process.poll() is None and not stop.wait(0.05):
            stack.mind()
    finally:
        _end_group(process)
    if stop.requested:
        raise click.Abort
    if process.returncode:
        raise RunloreError(f"{Path(command[0]).name} ended with exit code {process.returncode}; see above")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """No process of the group is left, whether its leader has ended or not."""
    for number, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    process.wait()

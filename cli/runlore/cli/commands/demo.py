"""`runlore demo`: everything end to end, on real work, in its own folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import click

from runlore.cli.children import child_environment, die_with_parent
from runlore.cli.extras import require_projector
from runlore.cli.options import settings_for
from runlore.cli.output import note, print_line, print_lines
from runlore.cli.shell_hints import exports, quoted
from runlore.cli.stack import EmbeddedStack
from runlore.cli.stop_signals import StopSignals
from runlore.schemas.errors import RunloreError, SettingsError
from runlore.schemas.settings import settings_environment

RUNS = (
    ("baseline", "--epochs", "6", "--max-depth", "3", "--learning-rate", "0.05"),
    ("deeper", "--epochs", "12", "--max-depth", "9", "--learning-rate", "0.2"),
)
"""Two runs with different settings, so that there is something to compare."""

TO_TRY = (
    "runlore list run",
    "runlore show model:digits_classifier@production",
    "runlore history model:digits_classifier evaluation_metrics.accuracy",
    "runlore find model 'evaluation_metrics.accuracy > 0.9'",
    "runlore compare run:baseline run:deeper",
    "runlore lineage model:digits_classifier",
)
"""Commands that have something to show after the two runs."""

_STOP_SECONDS = 10.0
_SUPERVISE_SECONDS = 0.2


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for everything; else a new temporary one.",
)
@click.option("--once", is_flag=True, help="Stop after the report, and remove the temporary folder.")
@click.option("--keep", is_flag=True, help="With --once: keep the temporary folder.")
def demo(data_dir: Path | None, once: bool, keep: bool) -> None:
    """Train real classifiers in several processes, log what a team would log, and read it back.

    Starts NATS, the projector and the web page in a separate folder, runs examples/classifiers twice
    (about half a minute) and prints a report. Then it serves the page until Ctrl-C and keeps the folder;
    with --once it stops and cleans up instead.
    """
    require_projector("demo")
    example = find_example()
    with ExitStack() as cleanup:
        folder = _folder(data_dir)
        if data_dir is None and not keep:
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = settings_for(folder)
        if settings.url:
            raise SettingsError("runlore demo starts its own server: unset RUNLORE_URL")
        page = not once and find_spec("starlette") is not None
        log = folder / "projector.log"
        with StopSignals() as stop, EmbeddedStack(settings, note, log, with_dashboard=page) as stack:
            if not stack.wait_ready(stop.wait):
                raise click.Abort
            note(f"NATS at {stack.address}, projector at {stack.http}, data in {folder}")
            _train(example, stack, stop)
            if not once:
                cleanup.pop_all()  # there is something to look at now
                _serve(stack, stop)
    if data_dir is not None or keep or not once:
        print_line(f"\nThe data is in {folder}. Start it again:  runlore up --data-dir {quoted(folder)}")


def _train(example: Path, stack: EmbeddedStack, stop: StopSignals) -> None:
    """Run the pipeline of the example twice, then its report. Raises click.Abort on Ctrl-C."""
    folder = stack.settings.data_dir
    environ = child_environment(settings_environment(stack.settings))
    for name, *options in RUNS:
        note(f"run {name}: load_data, 3 x train at once, evaluate, each in its own process ...")
        files = folder / "files" / name
        command = [str(example / "pipeline.py"), "--name", name, "--folder", str(files), *options]
        _run(command, environ, stack, stop, output=sys.stderr.fileno())
    _run([str(example / "report.py")], environ, stack, stop, output=None)


def _serve(stack: EmbeddedStack, stop: StopSignals) -> None:
    """Say where to look and what to try, and keep everything running until told to stop."""
    page = stack.wait_page(stop.wait)
    print_line(f"\nOpen the page:  {page}" if page else "\nNo page: pip install 'runlore[dashboard]'")
    print_line("Try, in another terminal:")
    print_lines((*exports(stack.settings.data_dir), *TO_TRY))
    print_line("Ctrl-C stops it and keeps the data.")
    while not stop.wait(_SUPERVISE_SECONDS):
        stack.supervise()
    note("stopping ...")


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


def _folder(chosen: Path | None) -> Path:
    """The folder for everything, made if it does not exist."""
    if chosen is None:
        return Path(tempfile.mkdtemp(prefix="runlore-demo-")).resolve()
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen.resolve()


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
            stack.supervise()
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

"""`runlore doctor`: is everything well, and what to do if not."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from runlore.cli.checkup import Finding, check_up
from runlore.cli.options import data_dir_option, json_option
from runlore.cli.output import print_json, print_pair
from runlore.schemas.settings import read_settings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@data_dir_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, data_dir: Path | None, as_json: bool) -> None:
    """Check versions, folders, server, stream, projector, lag, quarantine and outboxes.

    Each line says ok, warn or fail, and what to do. Exits with 1 when something fails.
    """
    findings: list[Finding] = []
    for finding in check_up(read_settings(data_dir=data_dir)):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        print_json([msgspec.to_builtins(finding) for finding in findings])
    if any(finding.outcome == "fail" for finding in findings):
        ctx.exit(1)


def _show(finding: Finding) -> None:
    detail = f"{finding.check:<14}  {finding.detail}"
    advice = (f"{'':<14}  -> {finding.advice}",) if finding.advice else ()
    print_pair(finding.outcome, detail, *advice, width=6, style=_COLOURS[finding.outcome])

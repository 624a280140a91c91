"""Run as a program on a terminal: commands one after another in one process, given as a JSON list of their words."""

from __future__ import annotations

import json
import sys
import traceback

import click

from runlore.cli.app import app

for words in json.loads(sys.argv[1]):
    print(f"\n=== {json.dumps(words)}", flush=True)
    try:
        app(words, standalone_mode=False)
    except click.ClickException as error:
        error.show()
    except click.exceptions.Exit:
        pass
    except BaseException:
        print("TRACEBACK", ascii(traceback.format_exc()), flush=True)

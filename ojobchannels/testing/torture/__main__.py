"""The command ``python -m ojobchannels.testing.torture``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TextIO

from ojobchannels.errors import ChannelError
from ojobchannels.testing.torture.arenas import open_arena
from ojobchannels.testing.torture.plan import FAULTS, Plan
from ojobchannels.testing.torture.runner import torture

_DEFAULTS = Plan(seed=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Tortures a channel; returns 0 if all is well, 1 if something was wrong, 2 if it cannot be."""
    given = _parser().parse_args(arguments)
    options = dict(pair.partition("=")[::2] for pair in given.option)
    faults = tuple(filter(None, given.faults.split(",")))
    plan = Plan(
        sections=given.sections,
        processes=given.processes,
        names=given.names,
        seconds=given.seconds,
        faults=faults,
        ttl=given.ttl,
    )
    if given.seed is not None:
        plan = replace(plan, seed=given.seed)
    _say(f"seed {plan.seed}", sys.stderr if given.json else sys.stdout)
    try:
        with open_arena(given.channel, options) as arena:
            result = torture(arena, plan)
    except ChannelError as error:
        _say(f"error: {error}", sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    lines = [json.dumps(result.as_document())] if given.json else result.lines()
    for line in lines:
        _say(line)
    return 1 if result.faults else 0


def _say(line: str, to: TextIO | None = None) -> None:
    stream = to or sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


def _parser() -> argparse.ArgumentParser:
    kinds = "; ".join(f"{name}: {what}" for name, what in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m ojobchannels.testing.torture",
        description="Processes fight for locks and are killed; witnesses outside of the channel "
        "tell whether two ever held one at once.",
    )
    add = parser.add_argument
    add(
        "--channel",
        required=True,
        metavar="URL",
        help="a URL; a type such as file or db, in a temporary file; or redis, mongo or "
        "mongo-replicas, for which a server is started",
    )
    add("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the type")
    add("--processes", type=int, default=_DEFAULTS.processes, help="how many at once (%(default)s)")
    add("--names", type=int, default=_DEFAULTS.names, help="how many locks (%(default)s)")
    add(
        "--sections",
        type=int,
        default=_DEFAULTS.sections,
        help="how many critical sections (%(default)s)",
    )
    add("--seconds", type=float, help="end after so many, even with fewer sections")
    add(
        "--faults",
        default=",".join(_DEFAULTS.faults),
        help=f"separated by commas (%(default)s). {kinds}",
    )
    add("--ttl", type=float, help="seconds of a lease")
    add("--seed", type=int, help="where chance begins")
    add("--json", action="store_true", help="the summary as one line of JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())

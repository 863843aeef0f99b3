"""The command ``python -m ojobchannels.testing.torture``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TextIO

from ojobchannels.errors import ChannelError
from ojobchannels.testing.torture.plan import FAULTS, Plan
from ojobchannels.testing.torture.runner import torture
from ojobchannels.testing.torture.targets import GROUPS, SERVERS, open_target

_DEFAULTS = Plan(seed=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a torture test; return 0 without violations, 1 with violations, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    channel_options = dict(pair.partition("=")[::2] for pair in options.option)
    faults = tuple(filter(None, options.faults.split(",")))
    plan = Plan(
        sections=options.sections,
        processes=options.processes,
        names=options.names,
        slots=options.slots,
        seconds=options.seconds,
        faults=faults,
        ttl=options.ttl,
    )
    if options.seed is not None:
        plan = replace(plan, seed=options.seed)
    _print(f"seed {plan.seed}", sys.stderr if options.json else sys.stdout)
    try:
        with open_target(options.channel, channel_options) as target:
            result = torture(target, plan)
    except ChannelError as error:
        _print(f"error: {error}", sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    lines = [json.dumps(result.as_document())] if options.json else result.lines()
    for line in lines:
        _print(line)
    return 1 if result.violations else 0


def _print(line: str, to: TextIO | None = None) -> None:
    stream = to or sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


def _parser() -> argparse.ArgumentParser:
    kinds = "; ".join(f"{name}: {what}" for name, what in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m ojobchannels.testing.torture",
        description="Processes compete for locks while some of them are killed; records outside of "
        "the channel show whether two processes ever held the same lock at once.",
    )
    add = parser.add_argument
    add(
        "--channel",
        required=True,
        metavar="URL",
        help="channel to test: a URL; a type such as file or db, with a temporary file or folder; "
        f"or one of {', '.join([*SERVERS, *GROUPS])}, with servers started for the test",
    )
    add(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the channel type; can be repeated",
    )
    add(
        "--processes",
        type=int,
        default=_DEFAULTS.processes,
        help="number of processes (default: %(default)s)",
    )
    add("--names", type=int, default=_DEFAULTS.names, help="number of locks (default: %(default)s)")
    add(
        "--slots",
        type=int,
        default=_DEFAULTS.slots,
        help="number of slots of each lock: how many may hold it at once (default: %(default)s)",
    )
    add(
        "--sections",
        type=int,
        default=_DEFAULTS.sections,
        help="number of critical sections (default: %(default)s)",
    )
    add("--seconds", type=float, help="stop after this time, even with fewer sections")
    add(
        "--faults",
        default=",".join(_DEFAULTS.faults),
        help=f"comma-separated faults to inject (default: %(default)s). {kinds}",
    )
    add("--ttl", type=float, help="duration of a lease in seconds")
    add("--seed", type=int, help="seed of the random numbers")
    add("--json", action="store_true", help="print the summary as one line of JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())

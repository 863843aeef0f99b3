"""The end of a child process that code of a job has forked, when it returns from this code."""

import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn


def leave(error: BaseException | None) -> NoReturn:
    """End a forked child as the interpreter ends a program after this error, or without one.

    Nothing but its own output is flushed or cleaned up: the rest belongs to the parent.
    """
    status = _status(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)


def _status(error: BaseException | None) -> int:
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        with suppress(Exception):
            traceback.print_exception(error)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    with suppress(Exception):
        sys.stderr.write(f"{error.code}\n")
    return 1

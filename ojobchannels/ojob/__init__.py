"""oJob files: reading, checking and running them.

A job file is code: it runs with the rights of whoever starts it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ojobchannels.ojob.arguments import parse_args
    from ojobchannels.ojob.control import Control
    from ojobchannels.ojob.loading import JobFile
    from ojobchannels.ojob.loading import load as check_file
    from ojobchannels.ojob.managing import ManagerConfig
    from ojobchannels.ojob.outcomes import Outcome, RunResult
    from ojobchannels.ojob.output import Output
    from ojobchannels.ojob.running import manager_config, run_file

__all__ = [
    "Control",
    "JobFile",
    "ManagerConfig",
    "Outcome",
    "Output",
    "RunResult",
    "check_file",
    "manager_config",
    "parse_args",
    "run_file",
]

_HOMES: Final = {
    "Control": "control.Control",
    "JobFile": "loading.JobFile",
    "ManagerConfig": "managing.ManagerConfig",
    "Outcome": "outcomes.Outcome",
    "Output": "output.Output",
    "RunResult": "outcomes.RunResult",
    "check_file": "loading.load",
    "manager_config": "running.manager_config",
    "parse_args": "arguments.parse_args",
    "run_file": "running.run_file",
}


def __getattr__(name: str) -> Any:
    # pydantic and ruamel.yaml are loaded by the first use of a job file, not by this import.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, inside = _HOMES[name].partition(".")
    return getattr(import_module(f"{__name__}.{module}"), inside)

"""oJob files: loading, checking and running them.

A job file is code: it runs with the rights of the user who starts it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ojobchannels.ojob.args.layers import parse_args
    from ojobchannels.ojob.daemon.daemon import Control
    from ojobchannels.ojob.load.job_file import JobFile
    from ojobchannels.ojob.load.loader import load as check_file
    from ojobchannels.ojob.report.console import Output
    from ojobchannels.ojob.report.outcomes import Outcome, RunResult
    from ojobchannels.ojob.run.manager_binding import ManagerConfig
    from ojobchannels.ojob.runner import manager_config, run_file

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

_PATHS: Final = {
    "Control": "daemon.daemon.Control",
    "JobFile": "load.job_file.JobFile",
    "ManagerConfig": "run.manager_binding.ManagerConfig",
    "Outcome": "report.outcomes.Outcome",
    "Output": "report.console.Output",
    "RunResult": "report.outcomes.RunResult",
    "check_file": "load.loader.load",
    "manager_config": "runner.manager_config",
    "parse_args": "args.layers.parse_args",
    "run_file": "runner.run_file",
}


def __getattr__(name: str) -> Any:
    # pydantic and ruamel.yaml are imported at the first use of a job file, not here.
    if name not in _PATHS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PATHS[name].rpartition(".")
    return getattr(import_module(f"{__name__}.{module}"), attribute)

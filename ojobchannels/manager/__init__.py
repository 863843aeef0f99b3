"""The job manager: each job runs at most once at a time, and every run is recorded."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ojobchannels.manager.actions.action import Action
    from ojobchannels.manager.durable_launches.handle import DurableLaunch
    from ojobchannels.manager.durable_launches.info import LaunchInfo
    from ojobchannels.manager.hooks.spec import RunSpec
    from ojobchannels.manager.jobs import Job
    from ojobchannels.manager.local_launches.launcher import Launch
    from ojobchannels.manager.manager import JobManager
    from ojobchannels.manager.output import OutputLimits, OutputLine, RunOutput
    from ojobchannels.manager.output.current import current_run
    from ojobchannels.manager.run_record import RunRecord
    from ojobchannels.manager.runs.run import JobRun
    from ojobchannels.manager.schedules.launch_claims import LaunchTime
    from ojobchannels.manager.schedules.overview import ScheduleInfo
    from ojobchannels.manager.schedules.pauses import PauseInfo
    from ojobchannels.manager.schedules.published import DaemonInfo

__all__ = [
    "Action",
    "DaemonInfo",
    "DurableLaunch",
    "Job",
    "JobManager",
    "JobRun",
    "Launch",
    "LaunchInfo",
    "LaunchTime",
    "OutputLimits",
    "OutputLine",
    "PauseInfo",
    "RunOutput",
    "RunRecord",
    "RunSpec",
    "ScheduleInfo",
    "current_run",
]

_PATHS: Final = {
    "Action": "actions.action.Action",
    "DaemonInfo": "schedules.published.DaemonInfo",
    "DurableLaunch": "durable_launches.handle.DurableLaunch",
    "Job": "jobs.Job",
    "JobManager": "manager.JobManager",
    "JobRun": "runs.run.JobRun",
    "Launch": "local_launches.launcher.Launch",
    "LaunchInfo": "durable_launches.info.LaunchInfo",
    "LaunchTime": "schedules.launch_claims.LaunchTime",
    "OutputLimits": "output.OutputLimits",
    "OutputLine": "output.OutputLine",
    "PauseInfo": "schedules.pauses.PauseInfo",
    "RunOutput": "output.RunOutput",
    "RunRecord": "run_record.RunRecord",
    "RunSpec": "hooks.spec.RunSpec",
    "ScheduleInfo": "schedules.overview.ScheduleInfo",
    "current_run": "output.current.current_run",
}

if not TYPE_CHECKING:  # with it, type checkers would accept any name

    def __getattr__(name: str) -> Any:
        # A job file is checked without the manager, and most programs use a part of it.
        if name not in _PATHS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, attribute = _PATHS[name].rpartition(".")
        globals()[name] = getattr(import_module(f"{__name__}.{module}"), attribute)
        return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The job manager: each job runs at most once at a time, and every run is recorded."""

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

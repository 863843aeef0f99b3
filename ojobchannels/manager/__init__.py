"""The job manager: each job runs at most once at a time, and every run is recorded."""

from ojobchannels.manager.jobs import Job
from ojobchannels.manager.launcher import Launch
from ojobchannels.manager.manager import JobManager
from ojobchannels.manager.output import OutputLimits, OutputLine, RunOutput
from ojobchannels.manager.output.current import current_run
from ojobchannels.manager.run import JobRun
from ojobchannels.manager.schedules.launch_claims import LaunchTime

__all__ = [
    "Job",
    "JobManager",
    "JobRun",
    "Launch",
    "LaunchTime",
    "OutputLimits",
    "OutputLine",
    "RunOutput",
    "current_run",
]

"""The job manager for asyncio."""

from ojobchannels.aio.jobs.durable_launch import AsyncDurableLaunch
from ojobchannels.aio.jobs.job import AsyncJob
from ojobchannels.aio.jobs.launch import AsyncLaunch
from ojobchannels.aio.jobs.manager import AsyncJobManager
from ojobchannels.aio.jobs.run import AsyncJobRun

__all__ = ["AsyncDurableLaunch", "AsyncJob", "AsyncJobManager", "AsyncJobRun", "AsyncLaunch"]

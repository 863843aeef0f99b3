"""The last runs of every job, read from the changes of the records and kept in the state channel.

A page or a terminal that shows all jobs needs the last runs of each, among any number of records.
"""

from ojobchannels.manager.overview.heads import JobHead, PastRun
from ojobchannels.manager.overview.overview import RunOverview

__all__ = ["JobHead", "PastRun", "RunOverview"]

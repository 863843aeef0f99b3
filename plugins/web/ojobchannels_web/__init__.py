"""The operators' page of ojobchannels: what runs, what did not, and the actions on it.

Example:
    >>> import ojobchannels as oc
    >>> from ojobchannels_web import create_app
    >>> app = create_app(oc.JobManager())
"""

from ojobchannels_web.app import create_app
from ojobchannels_web.settings import ACTIONS, Settings

__all__ = ["ACTIONS", "Settings", "create_app"]

"""Whether this process was asked to end."""

from typing import Final


class Shutdown:
    """Set by the handlers of signals, so that it is a plain attribute, without a lock.

    Attributes:
        requested: Whether a signal has asked this process to end.
    """

    requested = False


SHUTDOWN: Final = Shutdown()

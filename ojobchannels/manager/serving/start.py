"""One start of the job of a schedule, as each kind of schedule makes it."""

from typing import Protocol


class Start(Protocol):
    """One start of the job of a schedule, for one fire time."""

    @property
    def claims(self) -> str | None:
        """The name under which processes share the fire time; None if they do not."""

    def ends_schedule(self) -> bool:
        """Return whether the schedule ends now, and the job does not run."""

    def run(self) -> None:
        """Claim the fire time, and run the job; failures of it are reported elsewhere.

        Raises:
            FireTimeTaken: Another process has claimed it.
            ChannelError: The store cannot be reached, and nothing has begun.
        """

"""How often a message of a queue is tried, and the pauses between the attempts."""

from dataclasses import dataclass

from ojobchannels.errors import InvalidOption


@dataclass(frozen=True)
class RetryPolicy:
    """The number of attempts at a message, and the pauses between them.

    Attributes:
        attempts: The maximum number of attempts; after the last one the message is kept as failed.
        pause: Seconds before the second attempt, doubled for each further one.
        longest_pause: The longest pause, in seconds.
    """

    attempts: int = 5
    pause: float = 1.0
    longest_pause: float = 300.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidOption("attempts", f"{self.attempts} is too few", "pass at least 1")
        if min(self.pause, self.longest_pause) < 0:
            raise InvalidOption("pause", "it is negative", "pass seconds, 0 for none")

    def pause_after(self, attempts: int) -> float:
        """Return the pause after the given number of attempts, in seconds."""
        return float(min(self.pause * 2.0 ** min(attempts - 1, 64), self.longest_pause))

"""The state of a run: a name, by which `typeArgs.when` decides whether a job runs."""

from __future__ import annotations


class RunState:
    """The state of one run of a job file, ``init`` at the start."""

    def __init__(self) -> None:
        self._name = "init"

    def now(self, new: str | None = None) -> str:
        """Return the state, after a change to `new` if that is given."""
        if new is not None:
            self._name = new
        return self._name

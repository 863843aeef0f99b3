"""The journal of actions in the state channel, and how processes learn of new ones.

Each action is a document of its own, under its number. One small document has the highest number,
so that a process that waits for actions reads only that, once a second, on any backend.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import OutcomeUnknown
from ojobchannels.hookspecs import ABSENT
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.actions.action import (
    Action,
    ActionState,
    checked_text,
    key_of,
    this_author,
)

KEPT: Final = 1000
"""The number of actions that are kept; each new one removes the oldest."""

FRESH_MS: Final = 60_000
"""A request that no process has taken for this long is not carried out any more."""

_HEAD: Final = {"actions": "latest"}
_HIGHEST: Final = 2**53
_FIRST_READ: Final = 20
"""The number of actions among which a new feed looks for requests."""


def record(
    state: Channel,
    action: str,
    target: str,
    *,
    author: str | None = None,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
    requested: bool = False,
    id: str | None = None,
) -> Action:
    """Record an action, and return it.

    Args:
        state: The state channel.
        action: What is asked for.
        target: The schedule, job, run or lock.
        author: Who asks for it; by default the user of this process and its host.
        reason: Why.
        details: What else belongs to it.
        requested: Whether a process is to take it; otherwise it is done.
        id: Its identifier.

    Raises:
        InvalidOption: A text is too long.
    """
    written_by = checked_text("author", author or this_author())
    about = checked_text("target", target)
    why = checked_text("reason", reason or "")
    number = latest(state) + 1
    while True:
        made = Action(
            number,
            action,
            about,
            written_by,
            now_ms(),
            why,
            "requested" if requested else "done",
            dict(details or {}),
            id or uuid.uuid4().hex,
        )
        if _add(state, made):
            state.unset(key_of(number - KEPT))
            return made
        number += 1


def latest(state: Channel) -> int:
    """Return the number of the latest action; 0 if there is none."""
    return _number_in(state.get(_HEAD))


def _number_in(head: object) -> int:
    match head:
        case {"number": int(number)} if 0 < number < _HIGHEST:
            return number
    return 0


def find(state: Channel, number: int) -> Action | None:
    """Return the action with a number, if it is kept."""
    return Action.of(state.get(key_of(number)))


def newest_first(state: Channel) -> Iterator[Action]:
    """Yield the actions that are kept, the latest first."""
    newest = latest(state)
    for number in range(newest, max(newest - KEPT, 0), -1):
        if (action := find(state, number)) is not None:
            yield action


def move(state: Channel, action: Action, to: ActionState, **details: Any) -> Action | None:
    """Change the state of an action, and add to its details.

    Returns:
        The action as it is now; None, with nothing written, if another process has changed it.
    """
    changed = replace(action, state=to, details={**action.details, **details})
    written = {**changed.document, "write": uuid.uuid4().hex}  # two processes may write the same
    try:
        if state.get_set(action.document, action.key, written) is not None:
            return changed
    except OutcomeUnknown:
        if state.get(action.key) == written:
            return changed
    return None


def finish(state: Channel, taken: Action, to: ActionState, **result: Any) -> None:
    """Record the result of an action that this process has taken.

    Another process may have closed it as failed meanwhile, because this one did not react.
    """
    present: Action | None = taken
    while present is not None and present.state in ("taken", "failed"):
        as_taken = replace(present, details=taken.details)
        if move(state, as_taken, to, **result) is not None:
            return
        present = find(state, taken.number)


def _add(state: Channel, action: Action) -> bool:
    """Store an action under its number; return False if another one has that number."""
    try:
        stored = state.add(action.key, action.document)
    except OutcomeUnknown:  # another process may have moved it by now
        found = find(state, action.number)
        stored = found is not None and found.id == action.id
    _advance(state, action.number)
    return stored


def _advance(state: Channel, number: int) -> None:
    """Make a number the latest one, unless a higher one is."""
    while _number_in(head := state.get(_HEAD, ABSENT)) < number:
        with suppress(OutcomeUnknown):
            state.get_set(head, _HEAD, {"number": number})


class ActionFeed:
    """Returns the actions that are new since the last poll; a poll reads one small document.

    At its beginning it returns those of the latest requests that are still fresh by the clock of
    this host. Those that come later are fresh by themselves: the clocks of the hosts need not
    agree.

    Args:
        state: The state channel.
        longest: For how many milliseconds a request is fresh at the beginning; None for any time.
        first: The number of actions at the beginning among which it looks for them.
    """

    def __init__(
        self, state: Channel, longest: int | None = FRESH_MS, first: int = _FIRST_READ
    ) -> None:
        self._state = state
        self._longest = longest
        self._first = first
        self._seen: int | None = None

    def poll(self) -> list[Action]:
        """Return the new actions, the oldest first.

        Raises:
            ChannelError: The channel cannot be read; the next poll returns them.
        """
        newest = latest(self._state)
        if self._seen is None or newest < self._seen:  # the channel was emptied
            found = self._fresh(newest)
        else:
            numbers = range(max(self._seen, newest - KEPT) + 1, newest + 1)
            found = [made for at in numbers if (made := find(self._state, at)) is not None]
        self._seen = newest
        return found

    def _fresh(self, newest: int) -> list[Action]:
        numbers = range(max(newest - self._first, 0) + 1, newest + 1)
        found = [made for at in numbers if (made := find(self._state, at)) is not None]
        return [each for each in found if self._is_fresh(each)]

    def _is_fresh(self, action: Action) -> bool:
        return self._longest is None or abs(now_ms() - action.time) <= self._longest

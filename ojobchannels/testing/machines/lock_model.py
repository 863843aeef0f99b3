"""What a lock has to do, as simply as it can be written: one holding at a time, with an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ojobchannels.hookspecs import Busy, Granted, LockInfo
from ojobchannels.testing.machines.times import During

State: TypeAlias = Literal["held", "free", "unsure"]


class Wrong(AssertionError):
    """What a backend answered cannot be."""


@dataclass
class Holding:
    """One lease as the backend must know it. Times are microseconds.

    Attributes:
        label: What the story calls it.
        who: Whose handle it is on.
        told: What its holder told of itself; None if that is not known.
        token: The proof of ownership.
        fence: Its number.
        ttl: Its full length in milliseconds.
        sure_until: Before this time it certainly lives.
        over_at: From this time on it certainly is over.
        doubtful: Whether it may end before: the handle that it was granted on was closed, and with
            it the holder's sign of life. Its token may extend it meanwhile; a lease on another
            handle needs to be adopted there.
    """

    label: str
    who: str
    told: str | None
    token: str
    fence: int
    ttl: int
    sure_until: int = 0
    over_at: int = 0
    doubtful: bool = False


class LockModel:
    """One lock; what a backend answers is judged, and taken note of.

    Attributes:
        fence: The highest that was ever granted.
        holding: Who had it last, also when its time is over, until it is freed.
        forced: Whether it was freed by other means than by its token.
    """

    def __init__(self, slack: int) -> None:
        self._slack = slack
        self.fence = 0
        self.holding: Holding | None = None
        self.forced = False

    def state(self, when: During) -> State:
        """Tells whether it was held."""
        holding = self.holding
        if holding is None or when.before >= holding.over_at:
            return "free"
        if holding.doubtful or when.after >= holding.sure_until:
            return "unsure"
        return "held"

    def holds(self, token: str, when: During) -> State:
        """Tells whether it was held with that token."""
        if self.holding is None or self.holding.token != token:
            return "free"
        return self.state(when)

    def renew(self, ttl: int, when: During) -> None:
        """Sets the remaining time of the present lease."""
        if self.holding is not None:
            self.holding.ttl = ttl
            self.holding.sure_until = when.before + ttl * 1000 - self._slack
            self.holding.over_at = when.after + ttl * 1000 + self._slack

    def free(self, forced: bool = False) -> None:
        """Takes note that nobody holds it."""
        self.holding = None
        self.forced = forced

    def close(self, token: str, when: During) -> None:
        """Takes note that the handle was closed on which this token held the lock.

        Close to the end of a lease nobody sees whether it was released or had just expired.
        """
        state = self.holds(token, when)
        if state == "held":
            self.free()
        elif state == "unsure" and self.holding is not None:
            self.holding.over_at = min(self.holding.over_at, when.after)
            self.holding.doubtful = True

    def judge_request(self, asked: Holding, answer: Granted | Busy, when: During) -> None:
        """Judges the answer to a request for the lock; `asked` is as it will be if granted."""
        state, present = self.state(when), self.holding
        mine = present is not None and present.token == asked.token
        if isinstance(answer, Busy):
            self._judge_refusal(asked, answer, state, mine, when)
        elif present and mine and state != "free" and answer.fence == present.fence:
            return  # the same lease; its end stays
        elif present and state == "held":
            wanted = "a new fence" if mine else f"to {asked.label}"
            self._wrong(f"it was granted {wanted} although {self._life(when)}")
        elif answer.fence <= self.fence:
            self._wrong(f"fence {answer.fence} does not grow: {self.fence} was granted before")
        else:
            self._judge_previous(answer.previous)
            asked.fence = self.fence = answer.fence
            self.holding, self.forced = asked, False
            self.renew(asked.ttl, when)

    def judge_token(self, what: str, token: str, answer: object, when: During) -> bool:
        """Judges what only the holder may do; returns whether it was done."""
        state, done = self.holds(token, when), bool(answer)
        if done and state == "free":
            why = self._life(when) if self.state(when) == "held" else "nobody holds the lock"
            self._wrong(f"{what} succeeded with a token that does not hold the lock: {why}")
        if not done and state == "held":
            self._wrong(f"{what} failed although {self._life(when)}")
        return done

    def judge_info(self, info: LockInfo | None, when: During) -> None:
        """Judges what is told of the lock."""
        state = self.state(when)
        if info is None:
            if state == "held":
                self._wrong(f"it is told to be free although {self._life(when)}")
            return
        if state == "free" or self.holding is None:
            self._wrong(f"it is told to be held with fence {info.fence}, and nobody holds it")
        elif info.fence != self.holding.fence:
            self._wrong(f"its fence is told as {info.fence}, and is {self.holding.fence}")
        else:
            self._judge_holder(info.holder)

    def left(self, when: During) -> tuple[int, int]:
        """Returns the least and the most milliseconds that the present lease may have left."""
        if self.holding is None:
            return 0, 0
        least = (self.holding.sure_until - when.after) // 1000 - 1
        most = -((when.before - self.holding.over_at) // 1000) + 1
        return least, most

    def adopted_until(self, when: During) -> During:
        """Returns until when one that takes over the present lease may rely on it."""
        least, most = self.left(when)
        drift = self.holding.ttl * 10 if self.holding else 0
        return During(when.before + least * 1000 - drift, when.after + most * 1000 - drift)

    def _judge_refusal(
        self, asked: Holding, answer: Busy, state: State, mine: bool, when: During
    ) -> None:
        present = self.holding
        if present is None or state == "free":
            self._wrong(f"it was refused to {asked.label} although nobody holds it")
            return
        if mine:
            self._wrong(f"it was refused to {present.label}, which holds it with that very token")
        if answer.fence != present.fence:
            self._wrong(f"the refusal tells fence {answer.fence}, the holder has {present.fence}")
        least, most = self.left(when)
        if not (least <= answer.remaining or state == "unsure") or answer.remaining > most:
            self._wrong(f"the refusal tells {answer.remaining} ms left, and {self._life(when)}")
        self._judge_holder(answer.holder)

    def _judge_holder(self, holder: dict[str, Any]) -> None:
        present = self.holding
        if present and present.told is not None and holder.get("who") != present.told:
            self._wrong(f"its holder is told as {holder}, and told of itself {present.told!r}")

    def _judge_previous(self, previous: dict[str, Any] | None) -> None:
        past = self.holding
        if past is None and previous is not None and not self.forced:
            self._wrong(f"it has no previous holder that did not unlock, and tells of {previous}")
        if past is None or past.doubtful:
            return
        if previous is None:
            self._wrong(f"{past.label} never unlocked, and the next holder is not told")
        elif past.told is not None and previous.get("who") != past.told:
            self._wrong(f"its previous holder is told as {previous}, and was {past.told!r}")

    def _life(self, when: During) -> str:
        present = self.holding
        if present is None:
            return "nobody holds it"
        left = (present.sure_until - when.after) / 1e6
        return f"{present.label} (fence {present.fence}) lives for another {left:g} s"

    def _wrong(self, what: str) -> None:
        __tracebackhide__ = True
        raise Wrong(what)

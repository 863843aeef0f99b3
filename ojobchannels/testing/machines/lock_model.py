"""A simple model of a lock: at most one holding at a time, which expires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ojobchannels.hookspecs import Busy, Granted, LockInfo
from ojobchannels.testing.machines.times import Span

State: TypeAlias = Literal["held", "free", "unsure"]


class ModelViolation(AssertionError):
    """A result of the backend contradicts the model."""


@dataclass
class Holding:
    """One lease as the backend must know it. Times are microseconds.

    Attributes:
        label: Name in the trace.
        client: The client whose handle requested it.
        description: The holder document; None if unknown.
        token: Token of the lease.
        fence: Fence of the lease.
        ttl: Duration in milliseconds.
        valid_until: Before this time it is certainly valid.
        expired_at: From this time on it has certainly expired.
        uncertain: Whether it may end earlier, because the handle that requested it was closed. Its
            token can still extend it; a lease on another handle must be adopted there.
    """

    label: str
    client: str
    description: str | None
    token: str
    fence: int
    ttl: int
    valid_until: int = 0
    expired_at: int = 0
    uncertain: bool = False


class LockModel:
    """The state of one lock; checks the results of a backend and follows them.

    Attributes:
        fence: The highest fence that was granted.
        holding: The last lease, also after it has expired, until it is freed.
        forced: Whether the lock was freed without its token.
    """

    def __init__(self, slack: int) -> None:
        self._slack = slack
        self.fence = 0
        self.holding: Holding | None = None
        self.forced = False

    def state(self, when: Span) -> State:
        """Return whether the lock was held."""
        holding = self.holding
        if holding is None or when.before >= holding.expired_at:
            return "free"
        if holding.uncertain or when.after >= holding.valid_until:
            return "unsure"
        return "held"

    def holds(self, token: str, when: Span) -> State:
        """Return whether the lock was held with that token."""
        if self.holding is None or self.holding.token != token:
            return "free"
        return self.state(when)

    def renew(self, ttl: int, when: Span) -> None:
        """Set the remaining time of the present lease to `ttl` milliseconds."""
        if self.holding is not None:
            self.holding.ttl = ttl
            self.holding.valid_until = when.before + ttl * 1000 - self._slack
            self.holding.expired_at = when.after + ttl * 1000 + self._slack

    def free(self, forced: bool = False) -> None:
        """Record that the lock is free."""
        self.holding = None
        self.forced = forced

    def close(self, token: str, when: Span, known: bool = True) -> None:
        """Record that the handle was closed on which this token held the lock.

        Close to the end of a lease it is unknown whether it was released or had just expired, and
        so it is if the handle did not certainly know the lease (`known`).
        """
        state = self.holds(token, when)
        if state != "free" and not known and self.holding is not None:
            self.holding.uncertain = True
        elif state == "held":
            self.free()
        elif state == "unsure" and self.holding is not None:
            self.holding.expired_at = min(self.holding.expired_at, when.after)
            self.holding.uncertain = True

    def judge_request(self, requested: Holding, result: Granted | Busy, when: Span) -> None:
        """Check the result of a request for the lock; if granted, `requested` is the holding."""
        state, present = self.state(when), self.holding
        mine = present is not None and present.token == requested.token
        if isinstance(result, Busy):
            self._judge_refusal(requested, result, state, mine, when)
        elif present and mine and state != "free" and result.fence == present.fence:
            return  # the same lease; its end stays
        elif present and state == "held":
            grant = "with a new fence" if mine else f"to {requested.label}"
            self._fail(f"it was granted {grant} although {self._life(when)}")
        elif result.fence <= self.fence:
            self._fail(f"fence {result.fence} is not greater than the earlier fence {self.fence}")
        else:
            self._judge_previous(result.previous)
            requested.fence = self.fence = result.fence
            self.holding, self.forced = requested, False
            self.renew(requested.ttl, when)

    def judge_token(self, what: str, token: str, result: object, when: Span) -> bool:
        """Check the result of an operation of the holder; return whether it succeeded."""
        state, done = self.holds(token, when), bool(result)
        if done and state == "free":
            why = self._life(when) if self.state(when) == "held" else "the lock is free"
            self._fail(f"{what} succeeded with a token that does not hold the lock: {why}")
        if not done and state == "held":
            self._fail(f"{what} failed although {self._life(when)}")
        return done

    def judge_info(self, info: LockInfo | None, when: Span) -> None:
        """Check a lock info."""
        state = self.state(when)
        if info is None:
            if state == "held":
                self._fail(f"lock_info reports a free lock although {self._life(when)}")
            return
        if state == "free" or self.holding is None:
            self._fail(f"lock_info reports a holder with fence {info.fence}, but the lock is free")
        elif info.fence != self.holding.fence:
            self._fail(
                f"lock_info reports fence {info.fence}, but the holder has {self.holding.fence}"
            )
        else:
            self._judge_holder(info.holder)

    def left(self, when: Span) -> tuple[int, int]:
        """Return the least and the most milliseconds that the present lease can have left."""
        if self.holding is None:
            return 0, 0
        least = (self.holding.valid_until - when.after) // 1000 - 1
        most = -((when.before - self.holding.expired_at) // 1000) + 1
        return least, most

    def adopted_until(self, when: Span) -> Span:
        """Return the deadline for a holder that adopts the present lease."""
        least, most = self.left(when)
        drift = self.holding.ttl * 10 if self.holding else 0
        return Span(when.before + least * 1000 - drift, when.after + most * 1000 - drift)

    def _judge_refusal(
        self, requested: Holding, result: Busy, state: State, mine: bool, when: Span
    ) -> None:
        present = self.holding
        if present is None or state == "free":
            self._fail(f"it was refused to {requested.label} although the lock is free")
            return
        if mine:
            self._fail(f"it was refused to {present.label}, which holds it with the same token")
        if result.fence != present.fence:
            self._fail(f"the refusal has fence {result.fence}, but the holder has {present.fence}")
        least, most = self.left(when)
        if not (least <= result.remaining or state == "unsure") or result.remaining > most:
            self._fail(f"the refusal has {result.remaining} ms left, but {self._life(when)}")
        self._judge_holder(result.holder)

    def _judge_holder(self, holder: dict[str, Any]) -> None:
        present = self.holding
        if (
            present
            and present.description is not None
            and holder.get("client") != present.description
        ):
            self._fail(f"the holder is reported as {holder}, but is {present.description!r}")

    def _judge_previous(self, previous: dict[str, Any] | None) -> None:
        past = self.holding
        if past is None and previous is not None and not self.forced:
            self._fail(f"the previous holder is reported as {previous}, but it unlocked")
        if past is None or past.uncertain:
            return
        if previous is None:
            self._fail(f"{past.label} never unlocked, but is not reported as the previous holder")
        elif past.description is not None and previous.get("client") != past.description:
            self._fail(
                f"the previous holder is reported as {previous}, but was {past.description!r}"
            )

    def _life(self, when: Span) -> str:
        present = self.holding
        if present is None:
            return "the lock is free"
        left = (present.valid_until - when.after) / 1e6
        return f"{present.label} (fence {present.fence}) is valid for another {left:g} s"

    def _fail(self, message: str) -> None:
        __tracebackhide__ = True
        raise ModelViolation(message)

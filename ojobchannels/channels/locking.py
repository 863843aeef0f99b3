"""The locks of a channel: acquiring them, and the leases that this handle holds."""

import itertools
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast
from weakref import WeakSet

from ojobchannels import errors
from ojobchannels.channels.acquire import Request, acquire, this_holder
from ojobchannels.channels.arguments import Duration, check_mapping, milliseconds
from ojobchannels.channels.held_locks import HeldLocks
from ojobchannels.channels.keepalive.scheduler import KEEP_ALIVE
from ojobchannels.channels.lease import Lease
from ojobchannels.channels.slot_waiting import acquire_slot
from ojobchannels.channels.slots import check_count, check_lock, slot_name
from ojobchannels.documents import check_value
from ojobchannels.hookspecs import Adopted
from ojobchannels.host.clock import Clock
from ojobchannels.host.synchronous import check_synchronous
from ojobchannels.steps import Steps, drive

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel

NOT_GRANTED: Final = (errors.LockBusy, errors.LockLost, errors.ChannelClosed)
"""The errors after which a request holds no lock, and has no place in a queue."""
_CHECKED_PER_LOCK = 4
_POOLS = ("concurrent.futures.", "anyio.", "trio.", "asgiref.")
"""Packages whose worker threads serve many callers; one of them may release what another holds."""


class Locking(HeldLocks):
    """The part of a `Channel` that acquires locks, and keeps its leases."""

    _opened: ClassVar["WeakSet[Locking]"] = WeakSet()

    def __init__(
        self, name: str, type: str, capabilities: frozenset[str], hook: Any, clock: Clock
    ) -> None:
        super().__init__(name, type, capabilities, hook, clock)
        self._closed = False
        self._forget()
        self._opened.add(self)

    def _forget(self) -> None:
        """Leave the parent's leases to the parent, in a forked child."""
        self._leases: OrderedDict[Lease, None] = OrderedDict()
        self._lock = threading.RLock()  # a finalizer or a signal handler may release a lease

    def lock(
        self,
        name: str,
        *,
        ttl: Duration,
        wait: Duration | None = 0,
        keep_alive: bool = False,
        on_lost: Callable[[Lease], None] | None = None,
        holder: Mapping[str, Any] | None = None,
        slots: int = 1,
    ) -> Lease:
        """Acquire a lock, and return its lease.

        Args:
            name: The name of the lock: 1 to 4096 bytes of UTF-8 without NUL.
            ttl: Seconds after which the lease expires if it is neither renewed nor released.
            wait: Seconds to wait for the lock; 0 does not wait, None waits without a limit.
            keep_alive: Whether to renew the lease every third of the ttl until it is released.
            on_lost: Called once with the lease, on a thread of its own, when the lease is lost.
            holder: More holder info for other processes to see, beside host, pid and thread.
            slots: How many holders the lock may have at once, up to 1000. Each has a lease of its
                own, and the number of its slot in ``lease.slot``. All callers must pass the same
                number: of several numbers, the largest holds, and a warning is logged.

        Raises:
            LockBusy: Another holder has the lock, and kept it while this call waited.
            WouldDeadlock: This thread holds the lock, and would wait for itself without a limit.
                Locks are not reentrant.
            LockLost: Acquiring the lock took longer than its ttl, because this process was stopped,
                for example.

        Example:
            >>> import ojobchannels as oc
            >>> with oc.open_channel("docs-lock") as channel:
            ...     with channel.lock("nightly", ttl=30, wait=5) as lease:
            ...         lease.held
            True
        """
        request = self._request(
            name, ttl=ttl, wait=wait, on_lost=on_lost, holder=holder, slots=slots
        )
        lease = None
        try:
            lease = acquire(request) if slots == 1 else acquire_slot(request)
            self._keep(lease, keep_alive)
        except BaseException as error:
            # Also for an exception of a signal handler: the caller gets no lease to release.
            drive(self._withdrawing(request, lease, error))
            raise
        return lease

    def try_lock(
        self,
        name: str,
        *,
        ttl: Duration,
        keep_alive: bool = False,
        on_lost: Callable[[Lease], None] | None = None,
        holder: Mapping[str, Any] | None = None,
        slots: int = 1,
    ) -> Lease | None:
        """Acquire a lock like `lock`, but return None if another holder has it."""
        try:
            return self.lock(
                name, ttl=ttl, keep_alive=keep_alive, on_lost=on_lost, holder=holder, slots=slots
            )
        except errors.LockBusy:
            return None

    def lease_from(
        self,
        document: Mapping[str, Any],
        *,
        keep_alive: bool = False,
        on_lost: Callable[[Lease], None] | None = None,
    ) -> Lease:
        """Take over a live lease by the document that `Lease.to_document` returned.

        Args:
            document: The document, from this or another process.
            keep_alive: Whether to renew the lease every third of its ttl until it is released.
            on_lost: Called once with the lease, on a thread of its own, when the lease is lost.

        Raises:
            LockLost: The lease has ended.
            InvalidOption: It is not such a document, or belongs to another channel.
        """
        advice = "pass the result of to_document"
        check_mapping("lease document", document, advice)
        try:
            name, token, fence = document["name"], document["token"], document["fence"]
        except KeyError as error:
            raise errors.InvalidOption("lease document", f"{error} is missing", advice) from error
        if document.get("channel", self.name) != self.name:
            reason = f"it belongs to channel {document['channel']!r}, not to {self.name!r}"
            advice = "open that channel to take over the lease"
            raise errors.InvalidOption("lease document", reason, advice)
        if on_lost is not None:
            check_synchronous("on_lost", on_lost)
        slots = check_count("slots", document.get("slots", 1))
        slot = check_count("slot", document.get("slot", 1))
        check_lock(name, slots)
        if not isinstance(token, str):
            raise errors.InvalidOption("lease document", "its token is not a string", advice)
        holder = this_holder() | ({"slots": slots} if slots > 1 else {})
        sent = self.clock.now()
        adopted: Adopted | bool = self.hook.adopt(
            name=slot_name(name, slot), token=token, holder=holder
        )
        if not isinstance(adopted, Adopted):
            raise errors.LockLost(
                self.name, name, fence, "the lease expired, or the lock was released"
            )
        fence, ttl, remaining = adopted
        deadline = sent + remaining * 1000 - ttl * 10  # less 1 % of the ttl
        end = self._forget_lease
        lease = Lease(cast("Channel", self), name, token, fence, ttl, deadline, None, on_lost, end)
        lease.slot, lease.slots, lease._lock_name = slot, slots, slot_name(name, slot)
        try:
            self._keep(lease, keep_alive)
        except BaseException:
            # The lease expires, or is taken over again by a caller that still has the document.
            self._drop(lease)
            raise
        return lease

    def _request(
        self,
        name: str,
        *,
        ttl: Duration,
        wait: Duration | None,
        on_lost: Callable[[Lease], None] | None,
        holder: Mapping[str, Any] | None,
        slots: int,
        hook: Any = None,
    ) -> Request:
        """Check the arguments of `lock`, and return the request for it, by other hooks if given."""
        checked = check_lock(name, check_count("slots", slots))
        if holder is not None:
            check_mapping("holder", holder, "pass a dict")
            check_value(dict(holder))
        if on_lost is not None:
            check_synchronous("on_lost", on_lost)
        ttl_ms = milliseconds("ttl", ttl)
        wait_ms = None if wait is None else milliseconds("wait", wait, shortest=0)
        return Request(
            cast("Channel", self),
            checked,
            ttl_ms,
            wait_ms,
            holder,
            on_lost,
            self._forget_lease,
            hook or self.hook,
            slots,
        )

    def _withdrawing(
        self, request: Request, lease: Lease | None, error: BaseException
    ) -> Steps[None]:
        """Yield the steps that give back what was granted to a request that ended with an error."""
        yield from request.cleaning_up()
        if lease is not None:
            self._drop(lease)
        if lease is not None or not isinstance(error, NOT_GRANTED):
            yield from request.withdrawing()

    def _is_kept_by_caller(self, name: str, fence: int) -> bool:
        """Return whether this thread holds that lease and has it renewed until it releases it.

        It may be a lease of another channel object. In a worker thread of a pool the result is
        False: another task may release the lease meanwhile.
        """
        for lease in self._leases_of_caller():
            if (lease._lock_name, lease.fence) == (name, fence):
                return KEEP_ALIVE.renews(lease) and not _is_in_pool()
        return False

    def _keeps_slots(self, name: str, slots: int) -> bool:
        """Return whether this thread holds that many leases of a lock; cheap, and not certain."""
        return sum(lease.name == name for lease in self._leases_of_caller()) >= slots

    def _leases_of_caller(self) -> Iterator[Lease]:
        """Yield the leases of this thread, on all channels of this name."""
        mine = threading.get_ident()
        for channel in list(self._opened):
            with channel._lock:
                leases = list(channel._leases) if channel.name == self.name else []
            for lease in leases:
                if lease._thread == mine:
                    yield lease

    def _keep(self, lease: Lease, keep_alive: bool) -> None:
        """Add a lease that `close` releases, and renew it if it is to be kept alive."""
        with self._lock:
            if self._closed:
                raise errors.ChannelClosed(self.name)
            if self._leases:
                self._forget_old_leases()
            self._leases[lease] = None
        if keep_alive or lease.on_lost is not None:
            try:
                KEEP_ALIVE.watch(lease, keep_alive)
            except RuntimeError as error:
                reason = f"no thread can be started to keep lock {lease.name!r} alive: {error}"
                advice = "raise the limit of threads, or use lock without keep_alive and on_lost"
                raise errors.ChannelUnavailable(self.name, reason, advice) from error

    def _forget_old_leases(self) -> None:
        """Remove leases that have ended, a few at a time: not every lost lease is released."""
        try:
            oldest = list(itertools.islice(self._leases, _CHECKED_PER_LOCK))
        except RuntimeError:  # a finalizer or a signal handler has released one meanwhile
            return
        for lease in oldest:
            if lease.lost:
                self._leases.pop(lease, None)
            elif lease in self._leases:
                self._leases.move_to_end(lease)

    def _drop(self, lease: Lease) -> None:
        KEEP_ALIVE.drop(lease)
        self._forget_lease(lease)

    def _forget_lease(self, lease: Lease) -> None:
        """Remove a lease that needs no release at `close` any more."""
        with self._lock:
            self._leases.pop(lease, None)


def _is_in_pool() -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_POOLS):
            return True
        frame = frame.f_back
    return False

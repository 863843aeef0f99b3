"""Jobs that are called for what changes in a channel.

A watch calls its job on the thread of its subscription: one change at a time, in order, so that a
slow job holds up its own changes only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ojobchannels.changes import Change
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.run.job_call import Flow

if TYPE_CHECKING:
    from ojobchannels.channels.subscription import Subscription
    from ojobchannels.ojob.run.session import Session


class Watch:
    """Has a job called for each change of a channel, until it ends.

    Attributes:
        ended: Whether it has; a call may still be on.
    """

    def __init__(
        self, session: Session, flow: Flow, channel: str, ended: Iterable[Watch] = ()
    ) -> None:
        self.ended = False
        self._session = session
        self._job = flow.job
        self._before = [one for one in ended if one._job.name == flow.job.name]
        self._layers = flow.layers[1:]
        self._channel = channel
        self._subscription: Subscription | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether a call is on, or more may come."""
        return self._subscription is not None and not self._subscription.closed

    def start(self) -> None:
        """Begins: changes from now on are seen to.

        Raises:
            JobMisuse: The manager, whose channel it is, is not open yet.
            ChannelError: The channel tells of no changes, or cannot be read.
        """
        channel = self._session.channel(self._job.name, self._channel, None)
        self._subscription = channel.subscribe(self._call)

    def end(self) -> None:
        """Ends; a call that is on goes on."""
        self.ended = True
        if self._subscription is not None:
            self._subscription.close(wait=False)

    def join(self) -> None:
        """Waits for the call that is on."""
        if self._subscription is not None:
            self._subscription.close()

    def _call(self, change: Change) -> None:
        while self._before:  # those of an earlier state of the file, on a call of this job
            self._before[-1].join()
            self._before.pop()
        if self.ended or self._session.stopping.is_set():
            return
        told = {"ch": self._channel, "op": change.op, "k": change.key, "v": change.value}
        flow = Flow(self._session, self._job, [*self._layers, Layer(told, False)])
        with self._session.launches.at_work(flow):
            flow.run()

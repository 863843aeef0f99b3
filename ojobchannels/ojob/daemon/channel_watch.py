"""Jobs of `type: subscribe`, which run for each change of a channel.

A watch runs its job on the thread of its subscription: one change at a time, in order, so that a
slow job delays its own changes only.
"""

from collections.abc import Iterable

from ojobchannels.changes import Change
from ojobchannels.channels.subscription import Subscription
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.run.job_call import JobCall
from ojobchannels.ojob.run.session import Session


class ChannelWatch:
    """Calls its job for each change of a channel, until it ends.

    Args:
        session: The run of the job file.
        call: The call of the todo that it replaces.
        channel: The name of the channel.
        ended: The watches of earlier versions of the file, whose last calls may still run.
    """

    def __init__(
        self, session: Session, call: JobCall, channel: str, ended: "Iterable[ChannelWatch]" = ()
    ) -> None:
        self.ended = False
        self._session = session
        self._job = call.job
        self._predecessors = [watch for watch in ended if watch._job.name == call.job.name]
        self._layers = call.layers[1:]
        self._channel = channel
        self._subscription: Subscription | None = None

    @property
    def is_active(self) -> bool:
        """Whether a call is running, or more may come."""
        return self._subscription is not None and not self._subscription.closed

    def start(self) -> None:
        """Start: call the job for every later change.

        Raises:
            JobMisuse: The channel belongs to the manager, which is not open yet.
            ChannelError: The channel does not report changes, or cannot be read.
        """
        channel = self._session.channel(self._job.name, self._channel, None)
        self._subscription = channel.subscribe(self._call)

    def end(self) -> None:
        """End; a running call continues."""
        self.ended = True
        if self._subscription is not None:
            self._subscription.close(wait=False)

    def join(self) -> None:
        """Wait for the running call."""
        if self._subscription is not None:
            self._subscription.close()

    def _call(self, change: Change) -> None:
        while self._predecessors:
            self._predecessors[-1].join()
            self._predecessors.pop()
        if self.ended or self._session.stopping.is_set():
            return
        args = {"ch": self._channel, "op": change.op, "k": change.key, "v": change.value}
        call = JobCall(self._session, self._job, [*self._layers, Layer(args, False)])
        call.if_running = "skip"
        part = self._session.daemon_part(f"the subscription of {self._job.name!r}")
        with part, self._session.launches.running(call):
            call.run()

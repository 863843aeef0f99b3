"""The alerts of a job file: the manager's rules, and the jobs that they run."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ojobchannels.manager import Launch
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.run.job_call import JobCall
from ojobchannels.ojob.run.session import Session


def bind_alerts(session: Session) -> None:
    """Have the manager of a session report what its file says, from now on."""
    binding = session.binding
    binding.alerts = session.file.alerts
    binding.launch_alert = partial(_launch, session)
    if binding.manager is not None:
        binding.manager.alerts.replace(binding.alerts)


def _launch(session: Session, name: str, notice: Mapping[str, Any]) -> Launch:
    layers = [session.command_line, Layer({"notice": notice}, False)]
    call = JobCall(session, session.find(name), layers)
    deps = session.file.deps_of(name)
    return session.launches.submit(call, deps, {}, partial(call.log, "warn"))

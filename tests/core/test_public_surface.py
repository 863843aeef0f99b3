"""What `dir` and `help` show: the public names, and nothing of the inside."""

import pydoc
import re

import pytest

import ojobchannels as oc

MANAGER = """actions cancel close close_dead_runs daemons end error force_unlock job launch metrics
cancel_launch launch_result launches off on serve start_worker stop_worker
output pause prune record report rerun resume run run_now running runs schedules start state
start_schedules stop_schedules"""
RUN = "cancelled check end fail fence log open output skip start status update wait"
LAUNCH = "done error result wait"
CHANNEL = """add beside close closed destroy force_unlock get get_all get_keys get_set items
lease_from lock lock_info locks pop set set_all shift size subscribe try_lock unset unset_all"""
LEASE = "check extend held lost release remaining share to_document ttl"


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (oc.JobManager, MANAGER),
        (oc.JobRun, RUN),
        (oc.Launch, LAUNCH),
        (oc.Channel, CHANNEL),
        (oc.Lease, LEASE),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_class_shows_its_public_methods_only(kind: type, names: str) -> None:
    """Every name that completion offers is meant for users; a new one belongs in the reference."""
    assert {name for name in dir(kind) if not name.startswith("_")} == set(names.split())


def test_an_open_manager_shows_its_channels_and_no_internals() -> None:
    with oc.JobManager() as manager:
        added = set(dir(manager)) - set(dir(oc.JobManager))
    shown = {name for name in added if not name.startswith("_")}
    assert shown == {"alerts", "jobs", "locks", "malformed"}


def test_the_package_shows_its_public_names_only() -> None:
    assert {name for name in dir(oc) if not name.startswith("__")} == set(oc.__all__)


def test_help_describes_a_manager_without_its_internals() -> None:
    text = pydoc.plain(pydoc.render_doc(oc.JobManager))
    launch = r"launch\([\s|]*self,[\s|]*name"  # in one line or several, by the interpreter
    assert re.search(launch, text)
    assert "_report_run" not in text
    assert "_before_reading" not in text

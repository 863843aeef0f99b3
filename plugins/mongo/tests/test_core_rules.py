"""The core's own tests of operations, documents and locks hold here too.

They are taken from the checkout as they are. Those that say something else than what this backend
promises are named here, with the reason.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import UpdateOne

import ojobchannels as oc
from ojobchannels.documents import check_key, check_value
from ojobchannels_mongo.backend import MongoBackend
from ojobchannels_mongo.rows import row_id, stored

TESTS = Path(__file__).resolve().parents[3] / "tests"
ON_BOTH = ("test_operations", "test_documents")
ON_A_REPLICA_SET = (
    *("test_locks", "test_handover", "test_keep_alive", "test_processes", "test_clocks"),
)
on_a_replica_set = pytest.mark.parametrize("storage", ["replicated"], indirect=True)
FIXTURES = {"storage", "channel", "shared_storage", "shared_channel"}
OTHER_FIXTURES = {"simple_storage", "file_storage", "db_storage", "tmp_path"}
NO_LIVENESS = "the server does not watch over holders: their ttl frees a lock"
ONE_CLOCK = "there is the server's clock alone; see test_server_clock.py"
LEFT_OUT = {
    "test_kill_9_of_a_holder_frees_its_lock_for_a_waiter_within_50_ms": NO_LIVENESS,
    "test_the_death_of_a_holder_is_seen_without_waiting": NO_LIVENESS,
    "test_rule_9_a_fork_does_not_inherit_a_lease": NO_LIVENESS,
    "test_rule_9_a_forked_child_does_not_keep_the_dead_parents_lock": NO_LIVENESS,
    "test_a_lease_goes_to_another_process_whose_sender_exits": NO_LIVENESS,
    "test_a_shared_lease_is_free_when_the_last_that_works_under_it_is_gone": NO_LIVENESS,
    "test_a_shared_lease_is_held_while_only_the_child_is_gone": NO_LIVENESS,
    "test_a_shared_lease_can_be_extended_and_shared_again": NO_LIVENESS,
    "test_order_survives_a_wall_clock_that_steps_back": ONE_CLOCK,
    "test_rule_4_a_step_of_the_wall_clock_changes_nothing": ONE_CLOCK,
    "test_rule_4_a_lease_is_renewed_and_released_across_a_step": ONE_CLOCK,
    "test_rule_4_a_record_of_another_boot_counts_until_its_wall_deadline": ONE_CLOCK,
    "test_rule_5_fences_grow_when_the_wall_clock_steps_back": ONE_CLOCK,
    "test_rule_5_a_fence_survives_until_a_day_after_the_clock_passed_it": ONE_CLOCK,
    "test_rule_5_fences_grow_where_the_last_one_was_lost": ONE_CLOCK,
    "test_rule_4_the_last_microsecond_belongs_to_the_holder": "the server counts milliseconds",
    "test_a_forked_child_goes_on_when_its_parent_is_gone": "both read one pipe; see test_forks.py",
}


def _fits(name: str, test: Callable[..., Any]) -> bool:
    wanted = inspect.signature(test).parameters.keys()
    return bool(wanted & FIXTURES) and not wanted & OTHER_FIXTURES and name not in LEFT_OUT


def _tests() -> Iterator[tuple[str, Any]]:
    for module_name in (*ON_BOTH, *ON_A_REPLICA_SET):
        path = TESTS / f"{module_name}.py"
        spec = importlib.util.spec_from_file_location(f"core_{module_name}", path)
        if not path.exists() or spec is None or spec.loader is None:
            continue
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, thing in vars(module).items():
            if type(thing).__name__ == "FixtureFunctionDefinition":
                yield name, thing
            elif name.startswith("test_") and _fits(name, thing):
                once = module_name in ON_A_REPLICA_SET or "half_done" in name
                yield name, on_a_replica_set(thing) if once else thing


globals().update(_tests())


@pytest.fixture(autouse=True)
def in_one_step_only_on_a_replica_set(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server alone several entries are stored one by one where a test needs them."""
    if "alone" in request.node.name:
        monkeypatch.setattr(oc.Channel, "set_all", _one_by_one)
        monkeypatch.setattr(oc.Channel, "unset_all", _each)


def _one_by_one(channel: oc.Channel, items: Any) -> None:
    pairs = [
        (check_key(key), value)
        for key, value in (items.items() if hasattr(items, "items") else items)
    ]
    for _, value in pairs:
        check_value(value)
    writes = [
        UpdateOne(
            {"_id": row_id(channel.name, key)}, stored(channel.name, key, value, None), upsert=True
        )
        for key, value in pairs
    ]
    for backend in channel.hook.get.get_hookimpls():
        if writes and isinstance(backend.plugin, MongoBackend):
            backend.plugin.line.server.link().documents.bulk_write(writes)


def _each(channel: oc.Channel, keys: Any) -> int:
    return sum([channel.unset(key) for key in [check_key(key).document for key in keys]])

"""The core's own tests of operations, locks, hand-over and processes, on this backend.

They are taken from the checkout as they are. Those that say something else than what this backend
promises are named here, with the reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
try:
    from conftest import load_core
finally:
    sys.path.pop(0)

MODULES = "test_operations test_locks test_handover test_keep_alive test_processes test_clocks"

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
    "test_the_hosts_clock_runs_through_suspend_and_knows_its_boot": "it has no channel",
    "test_a_forked_child_goes_on_when_its_parent_is_gone": "both read one pipe; see test_forks.py",
}
OTHER_FIXTURES = {"simple_storage", "file_storage", "db_storage", "common_folder"}

for _module in map(load_core, MODULES.split()):
    for _name, _thing in vars(_module).items():
        _asked = getattr(getattr(_thing, "__code__", None), "co_varnames", ())
        if _name in LEFT_OUT or OTHER_FIXTURES & set(_asked):
            continue
        if _name.startswith("test_") or type(_thing).__name__ == "FixtureFunctionDefinition":
            globals()[_name] = _thing

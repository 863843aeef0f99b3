"""When things are due: what is found first, changed, dropped, and by which clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ojobchannels.host.due_times import DueTimes
from ojobchannels.testing.clock import ManualClock

steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 8), st.integers(0, 30)),
        st.tuples(st.just("drop"), st.integers(0, 8), st.just(0)),
        st.tuples(st.just("pass"), st.just(0), st.integers(1, 9)),
    ),
    max_size=60,
)


@given(steps)
def test_what_is_due_is_found_as_by_looking_at_each(steps: list[tuple[str, int, int]]) -> None:
    """Each key has its last time only, by its own clock, and is due once."""
    clocks = ManualClock(), ManualClock()
    due_times: DueTimes[int] = DueTimes()
    expected: dict[int, int] = {}
    for step, key, number in steps:
        clock = clocks[key % 2]
        if step == "set":
            expected[key] = clock.now() + number
            due_times.set(key, clock, expected[key])
        elif step == "drop":
            expected.pop(key, None)
            due_times.drop(key)
        else:
            for each in clocks:
                each.advance(number / 1e6)
        due = {key for key, at in expected.items() if at <= clocks[key % 2].now()}
        assert sorted(due_times.pop_due()) == sorted(due)
        expected = {key: at for key, at in expected.items() if key not in due}
        assert len(due_times) == len(expected)
        pauses = [at - clocks[key % 2].now() for key, at in expected.items()]
        assert due_times.pause(10) <= min([10, *pauses])


def test_times_that_change_often_take_no_more_room() -> None:
    """Entries of times that were replaced or dropped are removed."""
    due_times: DueTimes[str] = DueTimes()
    clock = ManualClock()
    for number in range(10_000):
        due_times.set("nightly", clock, clock.now() + 10_000 - number)
        due_times.set(f"job-{number}", clock, clock.now() + 10_000)
        due_times.drop(f"job-{number}")
    assert sum(map(len, due_times._heaps.values())) < 200

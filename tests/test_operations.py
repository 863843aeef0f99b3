"""The operations on documents: each does on every backend what the hook spec says."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.plugins import Registry, registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from conftest import ManualClock, Storage


def test_the_design_snippet_does_what_it_says(shared_storage: Storage) -> None:
    """The Python face of the design, line by line."""
    with shared_storage.open() as channel:
        channel.set({"id": 1}, {"id": 1, "state": "new"})
        assert channel.get({"id": 1}) == {"id": 1, "state": "new"}
        assert channel.get({"id": 9}) is None
        assert channel.get_all(match={"state": "new"}) == [{"id": 1, "state": "new"}]
        with channel.lock("nightly", ttl=30, wait=5, keep_alive=True) as lease:
            channel.set({"id": 1}, {"id": 1, "state": "done"}, fence=lease.fence)
        again = channel.try_lock("nightly", ttl=30)
        assert again is not None
        assert channel.try_lock("nightly", ttl=30) is None
        again.extend(60)
        again.release()
        assert channel.lock_info("nightly") is None
        assert channel.locks() == []
        assert channel.force_unlock("nightly") is None
        assert channel.get_set({"state": "new"}, {"id": 1}, {"id": 1, "state": "taken"}) is None
        assert channel.add({"id": 2}, {"id": 2, "state": "new"})
        assert not channel.add({"id": 2}, {"id": 2, "state": "new"})


def test_null_is_a_value_and_not_the_absence_of_one(channel: oc.Channel) -> None:
    """A stored null is found by every operation that a missing key is not."""
    assert channel.get("key", default="nothing") == "nothing"
    assert channel.hook.get(key="no such key") is oc.MISSING
    channel.set("key", None)
    assert channel.get("key", default="nothing") is None
    assert channel.get_all() == [None]
    assert channel.size() == 1
    assert not channel.add("key", 1)
    assert channel.get_set({}, "key", 1, default="no match") == "no match"
    assert channel.pop(default="nothing") is None
    assert channel.pop(default="nothing") == "nothing"
    channel.set("key", None)
    assert channel.shift(default="nothing") is None
    assert channel.shift(default="nothing") == "nothing"
    assert channel.pop() is None
    assert channel.shift() is None


def test_unset_tells_whether_the_key_was_there(channel: oc.Channel) -> None:
    """The first answers True, the second False."""
    channel.set("key", None)
    assert channel.unset("key") is True
    assert channel.unset("key") is False
    assert channel.get("key", default="nothing") == "nothing"


def test_every_write_moves_its_key_to_the_end(channel: oc.Channel) -> None:
    """Order is that of the last change, also if the value stays equal; reads do not count."""
    for key in "abcde":
        channel.set(key, key)
    channel.set("a", "a")
    channel.set_all({"c": "c", "b": "b"})
    assert channel.get_set("d", "d", "d") == "d"
    channel.get("e")
    assert not channel.add("e", "other")
    assert channel.get_set("no", "e", "other") is None
    assert channel.get_keys() == ["e", "a", "c", "b", "d"]
    assert channel.get_all() == ["e", "a", "c", "b", "d"]
    assert [key for key, _ in channel.items()] == ["e", "a", "c", "b", "d"]
    assert [key for key, _ in channel.items(newest_first=True)] == ["d", "b", "c", "a", "e"]


def test_a_removed_key_comes_back_at_the_end(channel: oc.Channel) -> None:
    """What was removed leaves no place behind, with a fence or without."""
    for key in "abc":
        channel.set(key, 1, fence=1)
    channel.unset("a")
    channel.unset("b", fence=2)
    channel.set("b", 2)
    channel.set("a", 2)
    assert channel.get_keys() == ["c", "b", "a"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_items_come_in_pages_in_both_directions(channel: oc.Channel, newest_first: bool) -> None:
    """`after` continues behind a position, `limit` ends early, together they lose nothing."""
    channel.set_all((number, {"n": number}) for number in range(23))
    expected = list(range(23))[:: -1 if newest_first else 1]
    read: list[Any] = []
    after = None
    while page := list(channel.items(limit=5, newest_first=newest_first, after=after)):
        assert len(page) <= 5
        read += [key for key, _ in page]
        after = page[-1].position
    assert read == expected
    assert list(channel.items(limit=0, newest_first=newest_first)) == []
    assert len(list(channel.items(limit=100, newest_first=newest_first))) == 23


def test_items_match_before_they_count(channel: oc.Channel) -> None:
    """`limit` counts what matches, and pages go on behind what did not."""
    channel.set_all((n, {"even": n % 2 == 0, "n": n}) for n in range(20))
    page = list(channel.items(match={"even": True}, limit=3))
    assert [key for key, _ in page] == [0, 2, 4]
    rest = channel.items(match={"even": True}, after=page[-1].position)
    assert [key for key, _ in rest] == list(range(6, 20, 2))
    last = list(channel.items(match={"even": True}, limit=2, newest_first=True))
    assert [key for key, _ in last] == [18, 16]
    before = channel.items(match={"even": False}, newest_first=True, after=last[-1].position)
    assert [key for key, _ in before] == list(range(15, 0, -2))


def test_items_reach_beyond_one_fetched_page(channel: oc.Channel) -> None:
    """More entries than one hook call returns come in one iteration, each once."""
    channel.set_all((n, n) for n in range(2500))
    assert [value for _, value in channel.items()] == list(range(2500))
    assert [value for _, value in channel.items(newest_first=True)] == list(range(2499, -1, -1))
    assert [value for _, value in channel.items(limit=1500)] == list(range(1500))


def test_items_that_change_while_one_iterates_are_not_lost(channel: oc.Channel) -> None:
    """Every entry that did not change meanwhile appears once, whole; removed ones may vanish."""
    channel.set_all((n, n) for n in range(2200))
    seen = []
    iteration = channel.items()
    for key, _ in islice(iteration, 100):
        seen.append(key)
    channel.unset_all(range(0, 2200, 7))
    channel.set_all((key, "changed") for key in range(1, 2200, 21))
    seen += [key for key, value in iteration if value != "changed"]
    untouched = [key for key in range(2200) if key % 7 > 1]
    assert [key for key in seen if key % 7 > 1] == untouched


def test_keys_are_told_as_last_written(channel: oc.Channel) -> None:
    """An equal key in another notation replaces the notation."""
    channel.set({"b": 1, "a": 2.0}, 1)
    channel.set({"a": 2, "b": 1.0}, 2)
    assert repr(channel.get_keys()) == repr([{"a": 2, "b": 1.0}])
    assert not channel.add({"b": 1, "a": 2}, 3)
    assert repr(channel.get_keys()) == repr([{"a": 2, "b": 1.0}])


def test_set_all_stores_all_in_their_order_the_last_of_equals_wins(channel: oc.Channel) -> None:
    """A batch is as many writes in a row, in one step."""
    channel.set("b", 0)
    channel.set_all([("a", 1), ("b", 2), ("c", 3), ("a", 4), (1, 5), (1.0, 6)])
    assert list(channel.items()) == [("b", 2), ("c", 3), ("a", 4), (1.0, 6)]
    assert channel.size() == 4


def test_batches_take_maps_pairs_and_nothing(channel: oc.Channel) -> None:
    """Maps, iterators of pairs and empty batches are all fine."""
    channel.set_all({"a": 1, "b": 2})
    channel.set_all(iter([("c", 3)]))
    channel.set_all({})
    channel.set_all([])
    assert channel.unset_all([]) == 0
    assert channel.unset_all(iter(["a", "nothing", "b", "a"])) == 2
    assert channel.get_keys() == ["c"]


@pytest.mark.parametrize("wrong", [float("nan"), object()])
def test_a_batch_with_a_fault_stores_nothing(channel: oc.Channel, wrong: Any) -> None:
    """All or nothing, wherever the fault is."""
    channel.set("kept", 1)
    with pytest.raises(oc.InvalidValue):
        channel.set_all([("a", 1), ("kept", 2), ("b", wrong)])
    with pytest.raises(oc.InvalidKey):
        channel.set_all([("a", 1), ("kept", 2), (wrong, 1)])
    with pytest.raises(oc.InvalidKey):
        channel.unset_all(["kept", wrong])
    assert list(channel.items()) == [("kept", 1)]


def test_a_batch_is_never_seen_half_done(
    storage: Storage, in_background: Callable[..., Future[Any]]
) -> None:
    """A reader on another handle sees all of a batch or none of it, and all in one change."""
    channel, other = storage.open(), storage.open()

    def read() -> set[tuple[int, int]]:
        seen = set()
        while (8, 29) not in seen:
            values = other.get_all()
            seen.add((len(values), max(values, default=-1)))
            assert len(set(values)) <= 1
        return seen

    reader = in_background(read)
    for turn in range(30):
        channel.set_all((key, turn) for key in range(8))
    assert {size for size, _ in reader.result(60)} <= {0, 8}


def test_a_backend_without_atomic_batches_refuses_more_than_one(
    simple_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be done in one step is not half done in silence."""
    poor = replace(registry().find("simple"), capabilities=frozenset())
    monkeypatch.setattr(Registry, "find", lambda *_: poor)
    channel = simple_storage.open()
    channel.set_all({"a": 1})
    for attempt in (
        lambda: channel.set_all({"b": 1, "c": 2}),
        lambda: channel.unset_all(["a", "b"]),
    ):
        with pytest.raises(oc.NotSupported, match="2 entries in one step"):
            attempt()
    assert channel.get_keys() == ["a"]
    assert channel.unset_all(["a"]) == 1


def test_get_set_compares_and_sets(channel: oc.Channel) -> None:
    """It stores where the present value matches, and answers what stood there."""
    job = {"state": "new", "tries": 0}
    assert channel.get_set({}, "job", job, default=oc.MISSING) is oc.MISSING
    channel.set("job", job)
    taken = {"state": "taken", "tries": 1}
    assert channel.get_set({"state": "new"}, "job", taken) == job
    assert channel.get_set({"state": "new"}, "job", taken) is None
    assert channel.get_set({"state": "new"}, "job", taken, default=oc.MISSING) is oc.MISSING
    assert channel.get("job") == taken


def test_absent_stores_only_where_nothing_stands(channel: oc.Channel) -> None:
    """ABSENT matches a missing key, never a null; `add` says whether it stored."""
    assert channel.get_set(oc.ABSENT, "key", None, default="no") is oc.MISSING
    assert channel.get_set(oc.ABSENT, "key", 1, default="no") == "no"
    assert channel.get("key", default="nothing") is None
    assert channel.add("other", {"n": 1}) is True
    assert channel.add("other", {"n": 2}) is False
    assert channel.get("other") == {"n": 1}
    channel.unset("other")
    assert channel.add("other", {"n": 3}) is True


def test_one_of_many_wins_a_compare_and_set(
    storage: Storage, in_background: Callable[..., Future[Any]]
) -> None:
    """However many threads and handles try at once, `add` and `get_set` let one through."""
    handles = [storage.open() for _ in range(4)]
    for turn in range(5):
        key = {"turn": turn}
        adders = [
            in_background(handles[n % 4].add, key, {"by": n, "taken": False}) for n in range(8)
        ]
        winners = [n for n, adder in enumerate(adders) if adder.result(60)]
        assert len(winners) == 1
        assert handles[0].get(key)["by"] == winners[0]
        takers = [
            in_background(handles[n % 4].get_set, {"taken": False}, key, {"by": n, "taken": True})
            for n in range(8)
        ]
        winners = [n for n, taker in enumerate(takers) if taker.result(60) is not None]
        assert len(winners) == 1
        assert handles[3].get(key) == {"by": winners[0], "taken": True}


def test_pop_takes_the_last_and_shift_the_first(channel: oc.Channel) -> None:
    """Both follow the order of change, and take out what they answer."""
    for key in "abcd":
        channel.set(key, {"value": key})
    channel.set("a", {"value": "a again"})
    assert channel.shift() == {"value": "b"}
    assert channel.pop() == {"value": "a again"}
    assert channel.get_keys() == ["c", "d"]
    assert channel.pop() == {"value": "d"}
    assert channel.shift() == {"value": "c"}
    assert channel.size() == 0


def test_every_entry_is_taken_out_once(
    storage: Storage, in_background: Callable[..., Future[Any]]
) -> None:
    """Threads and handles that pop and shift at once share the entries out, none twice."""
    handles = [storage.open() for _ in range(4)]
    handles[0].set_all((n, n) for n in range(120))

    def take(number: int) -> list[int]:
        handle = handles[number % 4]
        operation = handle.pop if number % 2 else handle.shift
        taken = []
        while (value := operation(default=oc.MISSING)) is not oc.MISSING:
            taken.append(value)
        return taken

    takers = [in_background(take, number) for number in range(8)]
    assert sorted(value for taker in takers for value in taker.result(60)) == list(range(120))
    assert handles[0].size() == 0


def test_handles_on_one_storage_see_each_others_changes_at_once(storage: Storage) -> None:
    """What one handle wrote, the next read of another finds, and the other way round."""
    one, other = storage.open(), storage.open()
    for turn in range(20):
        one.set("key", turn)
        assert other.get("key") == turn
        assert other.get_set(turn, "key", -turn) == turn
        assert one.get("key") == -turn
        one.set(turn, turn)
        assert other.unset(turn)
        assert one.size() == 1


def test_channels_of_other_names_are_apart(storage: Storage) -> None:
    """Documents, marks and locks of one channel are none of another's on the same storage."""
    one = storage.open()
    others = [storage.open(f"{storage.name}{rest}") for rest in ("-2", ".é", "/..", " $", "%")]
    one.set("key", 1, fence=9)
    lease = one.lock("name", ttl=30)
    for number, other in enumerate(others):
        assert other.size() == 0
        other.set("key", number, fence=number)
        other.lock("name", ttl=30)
    assert [other.get("key") for other in others] == list(range(len(others)))
    others[0].destroy()
    assert others[0].size() == 0
    assert one.get("key") == 1
    assert others[1].get("key") == 1
    assert lease.held
    lease.release()
    assert len(others[1].locks()) == 1


def test_a_higher_fence_passes_an_equal_one_too_a_lower_is_refused(channel: oc.Channel) -> None:
    """The refusal names key, fence and mark, and changes neither value nor order."""
    channel.set("key", "by 5", fence=5)
    channel.set("key", "by 5 again", fence=5)
    channel.set("key", "by 7", fence=7)
    channel.set("other", 1)
    for attempt in (
        lambda: channel.set("key", "late", fence=6),
        lambda: channel.unset("key", fence=6),
        lambda: channel.get_set("by 7", "key", "late", fence=6),
    ):
        with pytest.raises(oc.StaleFence) as refused:
            attempt()
        assert (refused.value.key, refused.value.fence, refused.value.mark) == ("key", 6, 7)
    assert list(channel.items()) == [("key", "by 7"), ("other", 1)]
    assert channel.get_set("by 7", "key", "by 8", fence=8) == "by 7"
    with pytest.raises(oc.StaleFence):
        channel.set("key", "late", fence=7)


@pytest.mark.parametrize(
    "remove",
    [
        lambda channel: channel.unset("key"),
        lambda channel: channel.unset("key", fence=7),
        lambda channel: channel.unset_all(["key"]),
        lambda channel: channel.pop(),
        lambda channel: channel.shift(),
        lambda channel: channel.destroy(),
        lambda channel: channel.set("key", "without a fence"),
        lambda channel: channel.set_all({"key": "in a batch"}),
        lambda channel: channel.get_set({}, "key", {}),
    ],
    ids="unset fenced_unset unset_all pop shift destroy set set_all get_set".split(),
)
def test_a_mark_outlives_what_is_done_without_a_higher_fence(
    storage: Storage, remove: Callable[[oc.Channel], object]
) -> None:
    """Whatever removes or overwrites the value, a stale holder stays refused, on every handle."""
    channel, other = storage.open(), storage.open()
    channel.set("key", {}, fence=7)
    remove(channel)
    for handle in (channel, other):
        with pytest.raises(oc.StaleFence):
            handle.set("key", "late", fence=6)
        with pytest.raises(oc.StaleFence):
            handle.unset("key", fence=6)
        present = handle.get("key", default=oc.ABSENT)
        with pytest.raises(oc.StaleFence):
            handle.get_set(present, "key", "late", fence=6)
    other.set("key", "in time", fence=7)
    assert channel.get("key") == "in time"


def test_a_fenced_unset_leaves_its_mark_where_nothing_stood(channel: oc.Channel) -> None:
    """A holder can close a key against its predecessors before it was ever written."""
    assert channel.unset("key", fence=5) is False
    assert (channel.size(), channel.get_all(), channel.get_keys()) == (0, [], [])
    assert list(channel.items()) == []
    with pytest.raises(oc.StaleFence):
        channel.set("key", 1, fence=4)
    assert channel.pop(default="nothing") == "nothing"
    assert channel.shift(default="nothing") == "nothing"
    assert channel.add("key", 1, fence=5)


def test_marks_go_by_canonical_keys(channel: oc.Channel) -> None:
    """Another notation of the key does not get round its mark."""
    channel.set({"a": 1, "b": 2}, 1, fence=5)
    with pytest.raises(oc.StaleFence):
        channel.set({"b": 2.0, "a": 1.0}, 2, fence=4)


@pytest.mark.parametrize("fence", [True, "5", 5.0, [5]])
def test_a_fence_is_an_integer(channel: oc.Channel, fence: Any) -> None:
    """Anything else is refused before something is written."""
    for attempt in (
        lambda: channel.set("key", 1, fence=fence),
        lambda: channel.unset("key", fence=fence),
        lambda: channel.add("key", 1, fence=fence),
    ):
        with pytest.raises(oc.InvalidOption, match="fence"):
            attempt()
    assert channel.size() == 0


def test_destroy_removes_the_documents_but_no_lock_and_no_fence(storage: Storage) -> None:
    """The channel is empty and usable; its locks are held as before."""
    channel, other = storage.open(), storage.open()
    channel.set_all((n, n) for n in range(10))
    lease = channel.lock("name", ttl=30)
    freed = channel.lock("freed", ttl=30)
    freed.release()
    channel.destroy()
    assert (channel.size(), channel.get_all(), channel.get_keys()) == (0, [], [])
    assert other.size() == 0
    assert other.try_lock("name", ttl=1) is None
    assert channel.lock("freed", ttl=1).fence > freed.fence
    lease.extend(60)
    lease.release()
    channel.set("new", 1)
    assert other.get_all() == [1]


def test_a_closed_channel_refuses_every_operation(storage: Storage) -> None:
    """Each raises ChannelClosed, which names the channel; closing twice is nothing."""
    channel = storage.open()
    seen = [channel.closed]
    channel.close()
    channel.close()
    assert [*seen, channel.closed] == [False, True]
    attempts: list[Callable[[], object]] = [
        lambda: channel.get(1),
        lambda: channel.set(1, 1),
        lambda: channel.unset(1),
        lambda: channel.get_all(),
        lambda: list(channel.items()),
        lambda: channel.get_keys(),
        lambda: channel.size(),
        lambda: channel.set_all({"a": 1}),
        lambda: channel.unset_all(["a"]),
        lambda: channel.get_set(1, 1, 1),
        lambda: channel.add(1, 1),
        lambda: channel.pop(),
        lambda: channel.shift(),
        lambda: channel.lock("name", ttl=1),
        lambda: channel.try_lock("name", ttl=1),
        lambda: channel.lock_info("name"),
        lambda: channel.locks(),
        lambda: channel.force_unlock("name"),
        lambda: channel.destroy(),
    ]
    for attempt in attempts:
        with pytest.raises(oc.ChannelClosed, match=channel.name):
            attempt()


def test_documents_outlive_the_handles(storage: Storage) -> None:
    """A channel that was closed and opened again holds what it held."""
    with storage.open() as channel:
        channel.set({"id": 1}, {"n": 1}, fence=7)
        channel.set("b", 2)
    with storage.open() as channel:
        assert list(channel.items()) == [({"id": 1}, {"n": 1}), ("b", 2)]
        with pytest.raises(oc.StaleFence):
            channel.set({"id": 1}, 2, fence=6)


def test_order_survives_a_wall_clock_that_steps_back(storage: Storage, clock: ManualClock) -> None:
    """Whatever the clock does, a later write stands behind an earlier one."""
    channel = storage.open(clock=clock)
    for key in range(10):
        channel.set(key, key)
        clock.step_wall(-3600)
    channel.set(3, "last")
    assert channel.get_keys() == [0, 1, 2, 4, 5, 6, 7, 8, 9, 3]
    position = next(channel.items(newest_first=True)).position
    channel.set("after", 1)
    assert [key for key, _ in channel.items(after=position)] == ["after"]


def test_get_all_is_a_snapshot_of_ten_thousand_entries(
    storage: Storage, in_background: Callable[..., Future[Any]]
) -> None:
    """Two entries that always change together are never seen apart, among 10,000."""
    channel, other = storage.open(), storage.open()
    channel.set_all((n, 0) for n in range(10_000))

    def write() -> None:
        for turn in range(1, 6):
            other.set_all([("left", turn), ("right", turn)])

    writer = in_background(write)
    while not writer.done():
        values = channel.get_all()
        assert len(values) in (10_000, 10_002)
        if len(values) > 10_000:
            assert values[-1] == values[-2]
    writer.result()


def test_a_value_of_a_megabyte_goes_in_and_comes_out(channel: oc.Channel) -> None:
    """Large documents need no other call."""
    value = {"text": "é" * 500_000, "numbers": list(range(50_000))}
    channel.set("large", value)
    assert channel.get("large") == value
    assert channel.get_all(match={"text": value["text"]}) == [value]


def test_threads_share_one_handle(
    channel: oc.Channel, in_background: Callable[..., Future[Any]]
) -> None:
    """A channel may be used by many threads: no update is lost."""

    def write(number: int) -> None:
        for turn in range(25):
            channel.set({"by": number, "turn": turn}, turn)
            assert channel.get({"by": number, "turn": turn}) == turn

    for writer in [in_background(write, number) for number in range(8)]:
        writer.result(60)
    assert channel.size() == 200


def test_a_key_is_there_while_it_is_written_again(channel: oc.Channel) -> None:
    """Who reads a key that others overwrite gets the old value or the new one, never none."""
    channel.set("k", 0)

    def write() -> None:
        for turn in range(300):
            channel.set("k", turn)

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append((channel.get("k"), channel.size()))
    writer.join()
    assert all(value is not None and size == 1 for value, size in seen)

"""More than a thousand entries and locks: nothing is cut off, repeated or forgotten."""

from __future__ import annotations

from ojobchannels.channels.channel import Channel
from ojobchannels.hookspecs import MISSING, LeaseRequest
from ojobchannels.testing.contracts.base import Contract, put_all, requires
from ojobchannels.testing.kit import rivals
from ojobchannels.testing.kit.subject import Subject

ENTRIES = 2300
ONE_BY_ONE = 1100
LOCKS = 1050


class ManyContract(Contract):
    """What holds for a few entries and locks also holds for many."""

    def test_every_listing_has_all_of_many_entries(self, subject: Subject) -> None:
        """On another handle, with and without a match, in both directions, from any position."""
        numbers = _fill(subject.open())
        other, even, most = subject.open(), numbers[::2], len(numbers) - 50
        assert (other.size(), other.get_keys()) == (len(numbers), numbers)
        assert [value["n"] for value in other.get_all()] == numbers
        assert [value["n"] for value in other.get_all({"even": True})] == even
        assert [key for key, _ in other.items()] == numbers
        assert [key for key, _ in other.items({"even": True}, newest_first=True)] == even[::-1]
        page = list(other.items({"even": True}, limit=len(even) - 50))
        assert [key for key, _ in page] == even[:-50]
        rest = other.items({"even": True}, after=page[-1].position)
        assert [key for key, _ in rest] == even[-50:]
        page = list(other.items(limit=most, newest_first=True))
        rest = other.items(newest_first=True, after=page[-1].position)
        assert [key for key, _ in [*page, *rest]] == numbers[::-1]

    def test_many_entries_keep_their_order_and_can_be_destroyed(self, subject: Subject) -> None:
        """Changed ones come last, `pop` and `shift` take the ends, and `destroy` removes all."""
        channel, other = subject.open(), subject.open()
        numbers = _fill(channel)
        moved = [0, 7, 1005, 999, numbers[-1]]
        for key in moved:
            assert other.get_set({}, key, {"n": key, "moved": True}) is not None
        expected = [n for n in numbers if n not in moved] + moved
        assert channel.get_keys() == expected
        assert [value["n"] for value in channel.get_all({"moved": True})] == moved
        assert [channel.pop()["n"], channel.shift()["n"]] == [expected[-1], expected[0]]
        assert other.get_keys() == expected[1:-1]
        channel.destroy()
        assert (other.size(), other.get_keys(), other.get_all()) == (0, [], [])
        assert other.pop(default=MISSING) is MISSING
        assert other.add(7, "new") is True
        assert list(channel.items()) == [(7, "new")]

    @requires("atomic_batches")
    def test_a_batch_of_more_than_a_thousand_entries_is_whole(self, subject: Subject) -> None:
        """Set over old entries, and removed with missing and repeated keys among them."""
        channel, other = subject.open(), subject.open()
        _fill(channel)
        channel.set_all((n, "new") for n in range(0, ENTRIES + 700, 2))
        assert other.size() == ENTRIES + 350
        assert other.get_all("new") == ["new"] * (ENTRIES // 2 + 350)
        assert channel.get_keys()[ENTRIES // 2 :] == list(range(0, ENTRIES + 700, 2))
        keys = [*range(-500, 1500), *range(100)]
        assert channel.unset_all(keys) == 1500
        assert other.get_keys()[0] == 1501
        assert other.size() == ENTRIES + 350 - 1500

    def test_many_locks_are_listed_renewed_and_unlocked(self, subject: Subject) -> None:
        """All of them, also after one in the middle has ended."""
        channel, other = subject.open(), subject.open()
        names = [f"lock {n:04}" for n in range(LOCKS)]
        fences = {name: rivals.lock(channel, name, rivals.A) for name in names}
        assert 0 not in fences.values()
        before = other.locks()
        assert {info.name: info.fence for info in before} == fences
        assert rivals.unlock(other, names[500], rivals.A) is True
        results = _extend_all(channel, [LeaseRequest(name, rivals.A, 90_000) for name in names])
        assert results == [number != 500 for number in range(LOCKS)]
        after = other.locks()
        assert min(info.until for info in after) > max(info.until for info in before)
        left = {info.name for info in after}
        assert left == {*names} - {names[500]}
        assert all(rivals.unlock(channel, name, rivals.A) for name in sorted(left))
        assert other.locks() == []

    def test_close_releases_many_leases(self, subject: Subject) -> None:
        """And none of another handle."""
        channel, other = subject.open(), subject.open()
        for number in range(400):
            channel.lock(f"lock {number}", ttl=60)
        kept = other.lock("kept", ttl=60)
        channel.close()
        assert [info.name for info in other.locks()] == ["kept"]
        kept.release()


def _extend_all(channel: Channel, requests: list[LeaseRequest]) -> list[bool]:
    """Extend the leases, and request again those that a slow server did not reach."""
    results = channel.hook.extend_all(leases=requests, timeout=20_000)
    missed = [request for request, held in zip(requests, results, strict=True) if held is None]
    assert len(missed) < len(requests)
    later = iter(_extend_all(channel, missed) if missed else ())
    return [next(later) if held is None else held for held in results]


def _fill(channel: Channel) -> list[int]:
    """Store more than a thousand entries, and return their keys."""
    count = ENTRIES if "atomic_batches" in channel.capabilities else ONE_BY_ONE
    put_all(channel, [(n, {"n": n, "even": n % 2 == 0}) for n in range(count)])
    return list(range(count))

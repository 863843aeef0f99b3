"""The measured cases and their targets, as data: how close to the floor each case must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from benchmarks import entrants, sizes
from benchmarks.measure import Entrant

TYPES = ("simple", "file", "db", "redis", "mongo", "mongo-w1", "postgres", "ignite")
_STORES = ("simple", "file", "db", "redis", "mongo", "postgres")
PARTS = ("locks", "hand-over", "contention", "documents", "runs", "history", "start-up", "sizes")
MILLION = 1_000_000


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        part: The part of the run that it belongs to.
        type: The channel type, or an empty string.
        name: The operation.
        floor: A short description of the floor.
        entrants: Returns the contestants; the floor and ours have fixed names.
        limits: The measures, each with the limit of ours as a multiple of the floor (None: only
            reported).
        at_most: Absolute limits of ours.
        ahead: Limits of ours as a multiple of a peer; the default is 1.
        peers: The measures that are compared with peers.
        size: For cost by size: the number of things.
        of: For cost by size: the kind of things.
    """

    part: str
    type: str
    name: str
    floor: str
    entrants: Callable[[], list[Entrant]] = field(repr=False)
    limits: Mapping[str, float | None]
    at_most: Mapping[str, float] = field(default_factory=dict)
    ahead: Mapping[str, float] = field(default_factory=dict)
    peers: tuple[str, ...] = ("wall",)
    size: int = 0
    of: str = ""

    @property
    def title(self) -> str:
        """The name of the case in messages."""
        parts = [self.part, self.type, self.name, f"{self.size:,}" if self.size else ""]
        return " ".join(part for part in parts if part)


def cases(records: int = MILLION) -> Iterator[Case]:
    """Yield all cases; `records` is the length of the long history."""
    yield from _locks()
    yield from _several()
    yield from _documents()
    yield from _runs(records)
    yield Case(
        "start-up", "", "import ojobchannels", "a bare interpreter",
        partial(entrants.programs, "import"), {"wall": 4.0},
    )  # fmt: skip
    yield Case(
        "start-up", "", "ojob --help", "click's hello",
        partial(entrants.programs, "help"), {"wall": 2.0},
    )  # fmt: skip
    yield from _sizes()


def _locks() -> Iterator[Case]:
    for type, limit, floor in (
        ("simple", 3.0, "two hook calls, a dict under a lock"),
        ("file", 3.0, "two times flock, pread, pwrite, unlock"),
        ("db", 1.8, "two statements on one connection, same pragmas"),
        ("redis", 1.25, "the two scripts on a bare socket with hiredis"),
        ("mongo", 1.2, "two findAndModify through PyMongo, majority"),
        ("mongo-w1", 1.3, "two findAndModify, majority (w:1 is not offered), no replica set"),
        ("postgres", 1.3, "two prepared statements through psycopg, committed to the disk"),
        ("ignite", 1.5, "two queries and two replacements on a bare socket"),
    ):
        yield Case(
            "locks", type, "lock, unlock", floor, partial(entrants.pairs, type),
            {"wall": limit, "cpu": 1.6 if type == "redis" else None},
            ahead={"redis-py": 0.8, entrants.SIMPLEST: 1.4 if type == "redis" else 2.0},
        )  # fmt: skip


def _several() -> Iterator[Case]:
    for type, floor in (
        ("simple", "a condition, and a hook call"),
        ("file", "a blocking flock, and a record"),
        ("db", "a blocking flock, and a statement"),
        ("redis", "a published message, and a script"),
        ("mongo", "a change stream, and a findAndModify"),
        ("postgres", "a notification, and a statement"),
        ("ignite", "a poll every 10 ms, a query and a replacement"),
    ):
        yield Case(
            "hand-over", type, "unlock to lock of a blocked waiter", floor,
            partial(entrants.hand_overs, type), {"p50": 2.0, "p90": 2.0, "p99": None},
            peers=("p50", "p90"),
        )  # fmt: skip
    for type, kind, floor, limit, fair in (
        ("simple", "none", "none", None, 1.5),
        ("file", "flock", "a blocking flock, no record", None, 1.5),
        ("db", "none", "none", None, None),
        ("redis", "blpop", "a BLPOP baton, no token, no ttl", 2.0, 1.5),
        ("mongo", "none", "none", None, None),
        ("postgres", "none", "none", None, None),
    ):
        yield Case(
            "contention", type, "eight at one lock", floor,
            partial(entrants.contentions, type, kind), {"change": limit, "unfair": None},
            at_most={"unfair": fair} if fair else {}, peers=("change",),
        )  # fmt: skip


def _documents() -> Iterator[Case]:
    floors = {
        "simple": "a hook call, a dict under a lock",
        "file": "flock, stat, a copy; a write: temp file, fsync, rename, fsync",
        "db": "a statement on one connection, FULL",
        "redis": "a command or script on a bare socket",
        "mongo": "a command through PyMongo, majority",
        "postgres": "a statement through psycopg, committed to the disk",
        "ignite": "a get, a counter, a replacement on a bare socket",
    }
    for type, floor in floors.items():
        for operation in ("get", "set", "unset"):
            yield Case(
                "documents", type, operation, floor, partial(entrants.stores, type, operation),
                {"wall": 4.0 if type == "simple" else 1.5},
            )  # fmt: skip
        if type == "ignite":  # it has no batches, by which many entries are stored
            continue
        yield Case(
            "documents", type, "get_all of 10,000", floor,
            partial(entrants.stores, type, "get_all", 10_000), {"wall": 1.5},
        )  # fmt: skip
        yield Case(
            "documents", type, "set_all of 1,000", floor,
            partial(entrants.stores, type, "set_all"), {"wall": 1.5},
        )  # fmt: skip


def _runs(records: int) -> Iterator[Case]:
    for type in _STORES:
        yield Case(
            "runs", type, "a managed run", "its lock pair, two writes, one read",
            partial(entrants.runs, type), {"wall": 3.0 if type == "simple" else 1.3},
        )  # fmt: skip
    measures = ("runs", "running", "start")
    for type in _STORES:
        yield Case(
            "history", type, "at 1,000 records", "an indexed query of 100 rows",
            partial(entrants.histories, type, 1_000), dict.fromkeys(measures, 3.0),
        )  # fmt: skip
    for type in ("db", "redis", "mongo", "postgres"):
        yield Case(
            "history", type, f"at {records:,} records", "ours at 1,000 records",
            partial(entrants.histories, type, records, 1_000), dict.fromkeys(measures, 2.0),
        )  # fmt: skip


def _sizes() -> Iterator[Case]:
    for of, what in sizes.SERIES.items():
        for type in what.types:
            for size in what.sizes:
                yield Case(
                    "sizes", type, what.name, "none", partial(what.entrants, type, size),
                    dict.fromkeys(what.measures, None), size=size, of=of,
                )  # fmt: skip

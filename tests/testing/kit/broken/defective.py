"""The plugin that offers all backends with a defect: broken subclasses, and edited copies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import broken_clocks
import broken_processes
import broken_tokens
import broken_values
import broken_waits
import broken_writes
from broken_backends import BROKEN
from edited import Mutant
from edited_documents import DOCUMENTS
from edited_leases import LEASES
from edited_locks import LOCKS
from edited_storage import STORAGE

import ojobchannels as oc
from ojobchannels import backends

MODULES = [
    module.__name__
    for module in (
        *(broken_values, broken_writes, broken_tokens),
        *(broken_clocks, broken_waits, broken_processes),
    )
]
MUTANTS: list[Mutant] = [*DOCUMENTS, *LOCKS, *LEASES, *STORAGE]


class Defective(NamedTuple):
    """One backend with a defect: its type, what is wrong, and the promises that fail."""

    type: str
    defect: str
    caught_by: list[str]
    of: str
    open: Callable[[str, Mapping[str, Any]], object]


DEFECTIVE = [
    *(
        Defective(
            broken.type,
            " ".join((broken.__doc__ or "").split()),
            broken.caught_by.split(),
            broken.capabilities_of,
            broken.open,  # type: ignore[attr-defined]  # both bases have it
        )
        for broken in sorted(BROKEN, key=lambda each: (MODULES.index(each.__module__), each.type))
    ),
    *(
        Defective(mutant.type, mutant.defect, [mutant.caught_by], mutant.of, mutant.open)
        for mutant in MUTANTS
    ),
]


@oc.hookimpl
def ojobchannels_channel_types() -> Iterable[oc.ChannelType]:
    """Return all of them, with the options and capabilities of the real type."""
    known = {each.name: each for each in backends.ojobchannels_channel_types()}
    return [
        oc.ChannelType(
            each.type,
            each.defect,
            each.open,
            options=known[each.of].options,
            capabilities=known[each.of].capabilities,
        )
        for each in DEFECTIVE
    ]

"""The kit on each backend with a defect; `test_broken_backends.py` runs parts of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from defective import DEFECTIVE, Defective

from ojobchannels.testing import ChannelConformance, Subject
from ojobchannels.testing.contracts.base import promises

_failed: set[tuple[object, str]] = set()


def _suite(defective: Defective) -> type:
    """Return a class of the contracts that detect the defect: collecting all of them is slow."""
    contracts = promises(ChannelConformance)

    class OnDefective(*{contracts[name] for name in defective.caught_by}):  # type: ignore[misc]  # bases that are computed
        @pytest.fixture(autouse=True)
        def stops_at_the_first_failure(self, request: pytest.FixtureRequest) -> Iterator[None]:
            """Skip the other parameters of a promise that has failed, to save time."""
            promise = defective.type, request.node.originalname
            if promise in _failed:
                pytest.skip("this promise has already failed")
            failed = request.session.testsfailed
            yield
            if request.session.testsfailed > failed:
                _failed.add(promise)

        @pytest.fixture
        def ojob_subject(self, tmp_path: Path) -> Subject:
            in_memory = defective.of == "simple"
            return Subject(defective.type, {} if in_memory else {"file": str(tmp_path / "channel")})

    return OnDefective


for each in DEFECTIVE:
    globals()[f"Test_{each.type}"] = _suite(each)

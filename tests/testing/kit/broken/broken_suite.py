"""The kit on each backend with a defect; `test_broken_backends.py` runs parts of it."""

from __future__ import annotations

from pathlib import Path

import broken_backends
import pytest

from ojobchannels.testing import ChannelConformance, Subject

broken_backends.ojobchannels_channel_types()


def _suite(broken: type[broken_backends.Broken]) -> type[ChannelConformance]:
    class OnBroken(ChannelConformance):
        @pytest.fixture
        def ojob_subject(self, tmp_path: Path) -> Subject:
            in_file = broken.capabilities_of == "file"
            return Subject(broken.type, {"file": str(tmp_path / "file.json")} if in_file else {})

    return OnBroken


globals().update({f"Test{broken.__name__}": _suite(broken) for broken in broken_backends.BROKEN})

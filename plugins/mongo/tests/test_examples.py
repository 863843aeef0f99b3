"""The job file under docs/examples: many instances run it, one of them does the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.testing.kit.documentation import run_many_instances

if TYPE_CHECKING:
    from ojobchannels.testing.servers import MongoServer

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "distributed-mongo.yaml"


@pytest.mark.parametrize("own_server", ["replicated"], indirect=True)
@pytest.mark.skipif(not EXAMPLE.exists(), reason="the job file is in the checkout only")
def test_one_of_eight_instances_works(own_server: MongoServer, tmp_path: Path) -> None:
    """The others skip the job, and each leaves a record."""
    run_many_instances(EXAMPLE, own_server, own_server.url, tmp_path)
    with oc.open_channel("order-totals", own_server.url) as channel:
        totals = {entry["region"]: entry["total"] for entry in channel.get_all()}
    assert totals == {"north": 5.5, "south": 2.0}

"""The job file under docs/examples: many instances run it, one of them does the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ojobchannels as oc
from ojobchannels.testing.kit.documentation import run_many_instances

if TYPE_CHECKING:
    from ojobchannels.testing.servers import RedisServer

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "distributed-redis.yaml"


def test_one_of_eight_instances_works(server: RedisServer, tmp_path: Path) -> None:
    """The others skip the job, and each leaves a record."""
    run_many_instances(EXAMPLE, server, server.url, tmp_path)
    with oc.open_channel("order-totals", server.url) as totals:
        assert dict(totals.items()) == {"north": 5.5, "south": 2.0}

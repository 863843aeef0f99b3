"""The job file under docs/examples: many instances run it, one of them does the work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import ojobchannels as oc

if TYPE_CHECKING:
    from ojobchannels.testing.servers import RedisServer

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "distributed-redis.yaml"
ORDERS = "region,item,amount\nnorth,apples,1.5\nsouth,cider,2\nnorth,crates,4\n"


def start(server: RedisServer, folder: Path, number: int) -> subprocess.Popen[str]:
    words = [f"server={server.url}", f"orders={folder / 'orders'}", "seconds=0"]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "ojobchannels", "run", EXAMPLE, *words],
        cwd=folder,
        env=os.environ | {"INSTANCE_ID": f"instance {number}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_of_eight_instances_one_executes(server: RedisServer, tmp_path: Path) -> None:
    """The one that has the lock reads a pipe, so that it works until all others have come."""
    pipe = tmp_path / "orders"
    os.mkfifo(pipe)
    instances = [start(server, tmp_path, number) for number in range(8)]
    try:
        server.wait_until(
            lambda: sum(one.poll() is not None for one in instances) == 7, "let several work"
        )
        pipe.write_text(ORDERS)
        said = [one.communicate(timeout=60)[0] for one in instances]
    finally:
        for one in instances:
            one.kill()
            one.communicate()
    assert [one.returncode for one in instances] == [0] * 8, said
    assert sum("processed orders of 2 regions" in text for text in said) == 1
    assert sum("skipped: 'order-processor' runs already" in text for text in said) == 7
    with oc.open_channel("order-totals", server.url) as totals:
        assert dict(totals.items()) == {"north": 5.5, "south": 2.0}
    with oc.open_channel("oJobManager-jobs", server.url) as jobs:
        states = Counter(record["status"] for record in jobs.get_all())
    assert states == {"completed": 1, "skipped": 7}
    with oc.open_channel("oJobManager-locks", server.url) as locks:
        assert locks.locks() == []

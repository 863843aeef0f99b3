"""The job file under docs/examples: many instances run it, one of them does the work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from ojobchannels.testing.servers import MongoServer

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "distributed-mongo.yaml"
ORDERS = "region,item,amount\nnorth,apples,1.5\nsouth,cider,2\nnorth,crates,4\n"


def start(url: str, folder: Path, number: int) -> subprocess.Popen[str]:
    words = [f"server={url}", f"orders={folder / 'orders'}", "seconds=0"]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "ojobchannels", "run", EXAMPLE, *words],
        cwd=folder,
        env=os.environ | {"INSTANCE_ID": f"instance {number}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("own_server", ["replicated"], indirect=True)
@pytest.mark.skipif(not EXAMPLE.exists(), reason="the job file is in the checkout only")
def test_of_eight_instances_one_executes(own_server: MongoServer, tmp_path: Path) -> None:
    """The one that has the lock reads a pipe, so that it works until all others have come."""
    url = own_server.url
    pipe = tmp_path / "orders"
    os.mkfifo(pipe)
    instances = [start(url, tmp_path, number) for number in range(8)]
    try:
        own_server.wait_until(
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
    with oc.open_channel("order-totals", url) as totals:
        assert {one["region"]: one["total"] for one in totals.get_all()} == {
            "north": 5.5,
            "south": 2.0,
        }
    with oc.open_channel("oJobManager-jobs", url) as jobs:
        states = Counter(record["status"] for record in jobs.get_all())
    assert states == {"completed": 1, "skipped": 7}
    with oc.open_channel("oJobManager-locks", url) as locks:
        assert locks.locks() == []

"""The guide and the job file under docs/ about Ignite do what they say, on a real node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import ojobchannels as oc
from ojobchannels.testing.kit.documentation import run_many_instances, run_page
from ojobchannels.testing.servers import IgniteServer, or_skip

CHECKOUT = Path(__file__).parents[3]
GUIDE = CHECKOUT / "docs" / "how-to" / "ignite.md"
EXAMPLE = CHECKOUT / "docs" / "examples" / "distributed-ignite.yaml"


@pytest.fixture(scope="module")
def node() -> Iterator[IgniteServer]:
    """A node whose caches have the names that the guide and the job file give them."""
    with or_skip(), IgniteServer() as running:
        yield running


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is in the checkout only")
def test_the_guide_works_as_a_reader_copies_it(node: IgniteServer, tmp_path: Path) -> None:
    """Its files and its commands, except for the one that starts a container."""
    pytest.importorskip("sybil")
    text = GUIDE.read_text("utf-8").replace("ignite.example.org", f"127.0.0.1:{node.port}")
    run_page(CHECKOUT, text.replace("<!-- skip: next -->\n", ""), tmp_path)


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the job file is in the checkout only")
def test_one_of_eight_instances_works(node: IgniteServer, tmp_path: Path) -> None:
    """The others skip the job, and each leaves a record."""
    run_many_instances(EXAMPLE, node, node.url, tmp_path)
    with oc.open_channel("order-totals", node.url) as channel:
        totals = {entry["region"]: entry["total"] for entry in channel.get_all()}
    assert totals == {"north": 5.5, "south": 2.0}

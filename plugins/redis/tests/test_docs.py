"""Pages and job files under docs/ about Redis do what they say, on a real server."""

from __future__ import annotations

import re
from pathlib import Path

import ojobchannels as oc
from ojobchannels.testing.kit.documentation import run_many_instances, run_page
from ojobchannels.testing.servers import RedisServer, or_skip

CHECKOUT = Path(__file__).parents[3]
GUIDE = CHECKOUT / "docs" / "how-to" / "redis.md"
LESSON = CHECKOUT / "docs" / "tutorial" / "3-a-batch-system.md"
EXAMPLE = CHECKOUT / "docs" / "examples" / "distributed-redis.yaml"
PASSWORD = "a-long-random-password"


def test_the_guide_works_with_the_user_that_it_sets_up(tmp_path: Path) -> None:
    """Its lines of configuration, its files and its commands, as a reader copies them."""
    text = GUIDE.read_text("utf-8")
    lines = re.findall(r"```text\n(.*?)```", text, re.DOTALL)[0].splitlines()
    user = next(line for line in lines if line.startswith("user job"))
    rules = user.partition(f">{PASSWORD} ")[2]
    settings = dict(line.split(" ", 1) for line in lines if not line.startswith(("user", "bind")))
    with (
        or_skip(),
        RedisServer(options=settings, password="x", users={"job": (PASSWORD, rules)}) as server,
    ):
        text = text.replace("redis.example.org\n", f"127.0.0.1:{server.port}\n")
        run_page(CHECKOUT, text.replace("<!-- skip: next -->\n", ""), tmp_path)


def test_the_batch_system_of_the_tutorial_runs_on_two_machines(tmp_path: Path) -> None:
    """Its files, and the part on the network: one is killed, comes back, and nothing overlaps."""
    text = LESSON.read_text("utf-8")
    files = re.findall(r"<!-- file: .*?\n```\n", text, re.DOTALL)
    network = re.findall(r"<!-- skip: start -->\n(.*?)<!-- skip: end -->\n", text, re.DOTALL)
    assert len(network) == 1
    with or_skip(), RedisServer() as server:
        page = "\n".join((*files, *network))
        page = page.replace("redis.example.org", f"127.0.0.1:{server.port}")
        run_page(CHECKOUT, page, tmp_path)


def test_one_of_eight_instances_works(server: RedisServer, tmp_path: Path) -> None:
    """The others skip the job, and each leaves a record."""
    run_many_instances(EXAMPLE, server, server.url, tmp_path)
    with oc.open_channel("order-totals", server.url) as totals:
        assert dict(totals.items()) == {"north": 5.5, "south": 2.0}

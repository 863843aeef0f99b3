"""The guide and the job file under docs/ about MongoDB do what they say, on a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pymongo
import pytest

import ojobchannels as oc
from ojobchannels.testing.kit.documentation import run_many_instances, run_page
from ojobchannels.testing.servers import MongoServer, or_skip

CHECKOUT = Path(__file__).parents[3]
GUIDE = CHECKOUT / "docs" / "how-to" / "mongodb.md"
EXAMPLE = CHECKOUT / "docs" / "examples" / "distributed-mongo.yaml"
PASSWORD = "a-long-random-password"


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is in the checkout only")
def test_the_guide_works_with_the_user_that_it_sets_up(tmp_path: Path) -> None:
    """Its user, its files and its commands, as a reader copies them."""
    pytest.importorskip("sybil")
    text = GUIDE.read_text("utf-8")
    roles = re.findall(rf'use jobs\n.*pwd: "{PASSWORD}", roles: \["(\w+)"\]', text)
    with or_skip(), MongoServer(user=("root", "word")) as server:
        with pymongo.MongoClient[dict[str, Any]](server.url) as client:
            client["jobs"].command("createUser", "job", pwd=PASSWORD, roles=roles)
        text = text.replace("mongo.example.org/jobs\n", f"127.0.0.1:{server.port}/jobs\n")
        run_page(CHECKOUT, text.replace("<!-- skip: next -->\n", ""), tmp_path)


@pytest.mark.parametrize("own_server", ["replicated"], indirect=True)
@pytest.mark.skipif(not EXAMPLE.exists(), reason="the job file is in the checkout only")
def test_one_of_eight_instances_works(own_server: MongoServer, tmp_path: Path) -> None:
    """The others skip the job, and each leaves a record."""
    run_many_instances(EXAMPLE, own_server, own_server.url, tmp_path)
    with oc.open_channel("order-totals", own_server.url) as channel:
        totals = {entry["region"]: entry["total"] for entry in channel.get_all()}
    assert totals == {"north": 5.5, "south": 2.0}

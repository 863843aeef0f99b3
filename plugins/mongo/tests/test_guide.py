"""The guide under docs/how-to does what it says, on a real server in place of its example."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pymongo
import pytest

from ojobchannels.testing.kit.documentation import run_page
from ojobchannels.testing.servers import MongoServer, or_skip

CHECKOUT = Path(__file__).parents[3]
GUIDE = CHECKOUT / "docs" / "how-to" / "mongodb.md"
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

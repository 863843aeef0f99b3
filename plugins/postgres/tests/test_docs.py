"""The guide and the job file under docs/ about PostgreSQL do what they say, on a real server."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

import ojobchannels as oc
from ojobchannels.testing.kit.documentation import run_many_instances, run_page
from ojobchannels.testing.servers import PostgresServer, or_skip
from ojobchannels_postgres.schema import ddl

CHECKOUT = Path(__file__).parents[3]
GUIDE = CHECKOUT / "docs" / "how-to" / "postgresql.md"
EXAMPLE = CHECKOUT / "docs" / "examples" / "distributed-postgres.yaml"


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is in the checkout only")
def test_the_guide_works_with_the_user_that_it_sets_up(tmp_path: Path) -> None:
    """Its user, its files and its commands, as a reader copies them."""
    pytest.importorskip("sybil")
    text = GUIDE.read_text("utf-8")
    (setup,) = re.findall(r"```text\n(CREATE USER job .*?)```", text, re.DOTALL)
    with or_skip(), PostgresServer(password="word") as server:
        with psycopg.connect(server.url, autocommit=True) as client:
            for statement in setup.split(";")[:-1]:
                client.execute(statement)
        text = text.replace("db.example.org/jobs\n", f"127.0.0.1:{server.port}/jobs\n")
        run_page(CHECKOUT, text.replace("<!-- skip: next -->\n", ""), tmp_path)


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is in the checkout only")
def test_the_rights_of_the_guide_are_enough(server: PostgresServer) -> None:
    """For a user that may create nothing; its query finds what a channel stores."""
    text = GUIDE.read_text("utf-8")
    (grants,) = re.findall(r"```text\n(GRANT USAGE .*?)```", text, re.DOTALL)
    (query,) = re.findall(r"```text\n(SELECT value .*?)```", text, re.DOTALL)
    (sweep,) = re.findall(r"```text\n(DELETE FROM .*?)```", text, re.DOTALL)
    with psycopg.connect(server.url, autocommit=True) as client:
        client.execute("CREATE ROLE job LOGIN")
        client.execute("CREATE SCHEMA ojobchannels")
        client.execute(ddl("ojobchannels"))
        client.execute(grants)
        url = server.url.replace("postgres@", "job@")
        with oc.open_channel("oJobManager-jobs", url) as channel:
            channel.set(1, {"status": "failed"})
            channel.set(2, {"status": "completed"})
            channel.lock("nightly", ttl=30).release()
            assert client.execute(query).fetchall() == [({"status": "failed"},)]
            assert client.execute(sweep).rowcount == 0  # not for a day


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the job file is in the checkout only")
def test_one_of_eight_instances_works(own_server: PostgresServer, tmp_path: Path) -> None:
    """The others skip the job, and each leaves a record."""
    run_many_instances(EXAMPLE, own_server, own_server.url, tmp_path)
    with oc.open_channel("order-totals", own_server.url) as channel:
        totals = {entry["region"]: entry["total"] for entry in channel.get_all()}
    assert totals == {"north": 5.5, "south": 2.0}

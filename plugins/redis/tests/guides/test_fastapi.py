"""The application of the guide to FastAPI, when its server does not reply."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from ojobchannels.testing import Subject

if TYPE_CHECKING:
    import pytest

    from ojobchannels.testing.proxy import Proxy

GUIDE = Path(__file__).parents[4] / "docs" / "how-to" / "fastapi.md"
PATIENCE = 60


def application(channels: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the names of the first block of the guide."""
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    monkeypatch.setenv("CHANNELS", channels)
    names: dict[str, Any] = {"__name__": "app"}
    exec(found.group(1), names)  # noqa: S102  it is a page of this project
    return names


def test_a_server_that_does_not_reply_stops_only_the_requests_to_it(
    url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop serves other requests; when the server replies, all that waited succeed."""
    behind = urlsplit(url)._replace(
        netloc="{}:{}".format(*proxy.address),
        query=f"timeout={PATIENCE}&prefix={Subject('redis').name}",
    )
    names = application(urlunsplit(behind), monkeypatch)
    app = names["app"]

    async def test() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            asyncio.timeout(2 * PATIENCE),
            names["lifespan"](app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            await client.put("/orders/7", json={"state": "new"})
            before = proxy.counters.requests
            proxy.black_hole(requests=False)
            waiting = [
                asyncio.create_task(request)
                for request in (client.post("/orders/7/ship"), client.post("/reports/monday"))
            ]
            while proxy.counters.requests < before + len(waiting):  # noqa: ASYNC110  it reports no event
                await asyncio.sleep(0.01)
            assert (await client.get("/alive")).json() is True
            assert not any(request.done() for request in waiting)
            proxy.heal()
            assert [(await request).status_code for request in waiting] == [200, 200]

    asyncio.run(test())

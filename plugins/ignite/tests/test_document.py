"""Pattern 3 of the oJob Manager document, as it is printed there: five instances, one executes.

The example names no host, so it needs a node on Ignite's own port. What it leaves to the reader,
`getOrders` and `processOrder`, is defined in the first lines of its body.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

import ojobchannels as oc
from ojobchannels.testing.kit.documentation import instances, outputs
from ojobchannels.testing.servers import IgniteServer, or_skip
from ojobchannels_ignite.options import DEFAULT_PORT

EXAMPLE: Final = Path(__file__).with_name("document") / "pattern-3.yaml"
INSTANCES: Final = 5
CACHES: Final = ("jobs", "locks")
GRID: Final = {"gridName": "jobGrid", "cacheName": "jobs"}
JAVASCRIPT: Final = f"""\
var go = $ch("go"); go.create("ignite", {json.dumps(GRID)});
    function getOrders() {{ while (!go.size()) sleep(50); return [1, 2]; }}
    function processOrder(order) {{ log("order " + order); }}
"""
PYTHON: Final = f"""\
    import os, time
    log("Processing orders - instance: " + os.environ["INSTANCE_ID"])
    go = channel("go", {{"type": "ignite", "args": {json.dumps(GRID)}}})
    while not go.size():
        time.sleep(0.05)
    for order in [1, 2]:
        log(f"order {{order}}")
    log("Orders processed")
"""


@pytest.fixture(scope="module")
def node() -> Iterator[IgniteServer]:
    """A node at the address that clients use where none is given."""
    with or_skip(), ExitStack() as running:
        try:
            node = running.enter_context(IgniteServer(port=DEFAULT_PORT))
        except OSError as error:
            pytest.skip(f"port {DEFAULT_PORT} is in use: {error}")
        yield node


def as_javascript(folder: Path) -> list[str]:
    """Return the arguments that run the example, with its functions defined."""
    file = folder / "orders.yaml"
    file.write_text(EXAMPLE.read_text().replace("exec: |\n", f"exec: |\n    {JAVASCRIPT}"))
    return ["--lang", "js", str(file)]


def as_python(folder: Path) -> list[str]:
    """Return the arguments that run the example with a body in Python."""
    file = folder / "orders.yaml"
    before, _, _ = EXAMPLE.read_text().partition("    log(")
    file.write_text(f"{before}{PYTHON}todo:\n- Init Distributed Manager\n- Process Orders\n")
    return [str(file)]


@pytest.mark.parametrize("written", [as_javascript, as_python], ids=["js", "python"])
def test_one_of_five_instances_executes(
    node: IgniteServer, tmp_path: Path, written: Callable[[Path], list[str]]
) -> None:
    """Its lock and its records are on the grid; the others skip, and record that."""
    if written is as_javascript:
        pytest.importorskip("ojobchannels_js", reason="pip install ojobchannels-js")
    with (
        instances(INSTANCES, written(tmp_path), node, tmp_path) as started,
        oc.open_channel("go", type="ignite", **GRID) as go,
    ):
        go.set("go", True)
        printed = outputs(started)
        go.destroy()
    (worked,) = [text for text in printed if "Processing orders - instance: instance" in text]
    assert all(line in worked for line in ("order 1", "order 2", "Orders processed"))
    locations = [{"type": "ignite", "args": GRID | {"cacheName": name}} for name in CACHES]
    with oc.JobManager(*locations) as manager:
        states = Counter(record["status"] for record in manager.runs(limit=INSTANCES))
    assert states == {"completed": 1, "skipped": INSTANCES - 1}

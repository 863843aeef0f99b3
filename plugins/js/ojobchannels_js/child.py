"""The program of the child process: the engine, and what connects it with the job.

It imports nothing of ojobchannels, so that it starts quickly. Standard input and output carry lines
of JSON. What the engine calls must never raise, or the engine is left in disorder: each answer is a
map with `ok` or `err`, and what stands in prelude.js throws the latter.
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

MEMORY: Final = 512 << 20
STACK: Final = 1 << 20
_LOST: Final = 3


class Job:
    """The job, at the other end of standard input and output."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        # What the engine itself might write must not get between the messages.
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        """Takes in what the job sends; without it there is nothing to run for, loops included."""
        for line in sys.stdin:
            self._lines.put(line)
        os._exit(_LOST)

    def receive(self) -> str:
        """Returns the next message."""
        return self._lines.get()

    def send(self, message: str) -> None:
        """Sends a message that is a line of JSON."""
        self._out.write(message + "\n")
        self._out.flush()


class Calls:
    """What JavaScript may call; one text of JSON goes in, one comes out."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._here: dict[str, Callable[..., Any]] = {
            "env": os.environ.get,
            "fromYAML": _from_yaml,
            "sleep": lambda milliseconds: time.sleep(milliseconds / 1000),
            "toYAML": _to_yaml,
        }

    def call(self, name: str, given: str) -> str:
        """Answers a call here, if that is possible, or has the job answer it."""
        try:
            if name not in self._here:
                self._job.send(f'{{"call": {json.dumps(name)}, "with": {given}}}')
                return self._job.receive()
            found = self._here[name](*json.loads(given))
            return json.dumps({} if found is None else {"ok": found})
        except Exception as error:  # noqa: BLE001  it is thrown in JavaScript
            return json.dumps({"err": {"name": type(error).__name__, "message": str(error)}})


def _to_yaml(value: Any) -> str:
    text = io.StringIO()
    yaml = _yaml()
    yaml.default_flow_style = False
    yaml.dump(value, text)
    return text.getvalue().removesuffix("...\n")


def _from_yaml(text: str) -> Any:
    return _yaml().load(text)


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    return yaml


def main() -> None:
    """Runs the block that the first message brings, and sends what became of it."""
    import quickjs

    job = Job()
    context = quickjs.Context()
    context.set_memory_limit(MEMORY)
    context.set_max_stack_size(STACK)
    context.add_callable("__call", Calls(job).call)
    prelude = Path(__file__).with_name("prelude.js").read_text("utf-8")
    context.eval(prelude)
    given = json.loads(job.receive())
    # All that is evaluated has one name, so that only the numbers of its lines tell in a stack what
    # stands in the job file: those beyond the last line of the prelude.
    above = prelude.count("\n") + 1
    context.eval("__begin")(json.dumps(given | {"linesAbove": above}))
    lines = "\n" * (above + given["line"] - 2)
    body = f"{lines}globalThis.__body = function () {{\n{given['text']}\n}}; undefined"
    try:
        context.eval(body)
        answer = context.eval("__run()")
        while answer is None:
            answer = _after_a_promise(context)
    except quickjs.JSException as error:
        text = str(error).split("\n", 1)[0]
        answer = json.dumps({"threw": {"text": text, "line": None, "raised": None}})
    job.send(answer)


def _after_a_promise(context: Any) -> str | None:
    going_on = context.execute_pending_job()
    answer: str | None = context.eval("__ended()")
    if answer is None and not going_on:
        said = "the promise that it returned is never settled"
        return json.dumps({"threw": {"text": said, "line": None, "raised": None}})
    return answer


if __name__ == "__main__":
    main()

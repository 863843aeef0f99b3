"""The program of the child process: the engine, and its connection with the job.

It imports nothing of ojobchannels, so that it starts quickly. Standard input and output carry lines
of JSON. A function that the engine calls must never raise, because the engine does not recover from
that. Each reply is therefore a map with `ok` or `err`, and prelude.js throws the latter.
"""

import io
import json
import math
import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

MEMORY_BYTES: Final = 512 << 20
PROCESS_BYTES: Final = MEMORY_BYTES + (128 << 20)
_YAML_BYTES: Final = 64 << 20
STACK_BYTES: Final = 1 << 20
_JOB_GONE_STATUS: Final = 3


class Job:
    """The connection to the job, over standard input and output."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Output of the engine itself must not get between the messages.
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        """Read messages of the job; when it is gone, exit, even from an endless loop."""
        for line in sys.stdin:
            self._lines.put(line)
        os._exit(_JOB_GONE_STATUS)

    def receive(self) -> str:
        """Return the next message."""
        return self._lines.get()

    def send(self, message: str) -> None:
        """Send a message: one line of JSON."""
        self._out.write(message + "\n")
        self._out.flush()


class Calls:
    """The functions that JavaScript can call; args and replies are JSON texts."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._local: dict[str, Callable[..., Any]] = {
            "env": os.environ.get,
            "fromYAML": _from_yaml,
            "sleep": lambda milliseconds: time.sleep(min(milliseconds / 1000, 1e9)),
            "toYAML": _to_yaml,
        }

    def call(self, name: str, args: str) -> str:
        """Handle a call here, if that is possible, or else in the job."""
        try:
            if name not in self._local:
                self._job.send(f'{{"call": {json.dumps(name)}, "with": {args}}}')
                return self._job.receive()
            result = self._local[name](*json.loads(args))
            return json.dumps({} if result is None else {"ok": result})
        except Exception as error:  # noqa: BLE001  it is thrown in JavaScript
            return json.dumps({"err": {"name": type(error).__name__, "message": str(error)}})


def _from_yaml(text: str) -> Any:
    """Return the value of a YAML text, unless its aliases make it too large for the engine."""
    value = _yaml().load(text)
    if _json_bytes(value, {}) > _YAML_BYTES:
        raise ValueError(f"its aliases expand to more than {_YAML_BYTES >> 20} MiB")
    return value


def _json_bytes(value: Any, known: dict[int, float]) -> float:
    """Return about how long the JSON text of a value is, which repeats what aliases share."""
    if not isinstance(value, dict | list):
        return len(value) + 3 if isinstance(value, str) else 8
    if id(value) not in known:
        known[id(value)] = math.inf  # if it contains itself
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = sum(_json_bytes(part, known) for part in parts) + 2
    return known[id(value)]


def _to_yaml(value: Any) -> str:
    text = io.StringIO()
    yaml = _yaml()
    yaml.default_flow_style = False
    yaml.dump(value, text)
    return text.getvalue().removesuffix("...\n")


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # typed as None
    return yaml


def main() -> None:
    """Run the block in the first message, and send its outcome."""
    import quickjs

    job = Job()
    context = quickjs.Context()
    context.set_memory_limit(MEMORY_BYTES)
    context.set_max_stack_size(STACK_BYTES)
    resource.setrlimit(resource.RLIMIT_DATA, (PROCESS_BYTES, PROCESS_BYTES))
    context.add_callable("__call", Calls(job).call)
    prelude = Path(__file__).with_name("prelude.js").read_text("utf-8")
    context.eval(prelude)
    block = json.loads(job.receive())
    # In a stack trace, all evaluated code has one file name. Lines of the job file are therefore
    # numbered beyond the last line of the prelude.
    above = prelude.count("\n") + 1
    context.eval("__begin")(json.dumps(block | {"linesAbove": above}))
    lines = "\n" * (above + block["line"] - 2)
    body = f"{lines}globalThis.__body = function () {{\n{block['text']}\n}}; undefined"
    try:
        context.eval(body)
        outcome = context.eval("__run()")
        while outcome is None:
            outcome = _await_promise(context)
    except quickjs.JSException as error:
        text = str(error).split("\n", 1)[0]
        outcome = json.dumps({"threw": {"text": text, "line": None, "raised": None}})
    job.send(outcome)


def _await_promise(context: Any) -> str | None:
    is_pending = context.execute_pending_job()
    outcome: str | None = context.eval("__ended()")
    if outcome is None and not is_pending:
        text = "the promise that the block returned is never settled"
        return json.dumps({"threw": {"text": text, "line": None, "raised": None}})
    return outcome


if __name__ == "__main__":
    main()

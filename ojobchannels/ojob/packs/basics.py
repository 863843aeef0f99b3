"""The object ``basics`` in the code of the pack oJobBasics.yaml."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojobchannels.errors import InvalidJobArgs, quoted
from ojobchannels.host.terminal import align
from ojobchannels.json_values import as_json
from ojobchannels.manager.local_launches.pool import release_slot
from ojobchannels.ojob.args.pack_args import PackArgs
from ojobchannels.ojob.args.pack_jobs import BASICS
from ojobchannels.ojob.packs.commands import run_commands
from ojobchannels.ojob.run.job_context import JobContext
from ojobchannels.ojob.yaml.source import read


class BasicsBridge:
    """The object ``basics`` in the code of a bundled pack."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._session = context.session

    def sleep(self, seconds: float) -> None:
        """Sleep, at most until the run shuts down."""
        with release_slot():
            self._session.stopping.wait(seconds)

    def sh(self, args: dict[str, Any]) -> None:
        """Run commands of the shell, one after another."""
        run_commands(self._context, args)

    def print_json(self, args: dict[str, Any]) -> None:
        """Log the value at a path as JSON."""
        value = self._at(args, str(args.get("name") or ""))
        indent = None if self._args(args).flag("min", default=False) else 2
        self._context.log("info", json.dumps(as_json(value), indent=indent))

    def print_yaml(self, args: dict[str, Any], path: str) -> None:
        """Log the value at a path as YAML."""
        self._context.log("info", as_yaml(as_json(self._at(args, path))))

    def sort(self, args: dict[str, Any]) -> None:
        """Sort a list."""
        name = self._args(args).text("name")
        source = self._list(args, str(args.get("srcName") or name))
        try:
            put(args, name, sorted(source, reverse=self._args(args).flag("reverse", default=False)))
        except TypeError as error:
            reason = f"{name!r} cannot be sorted: {error}"
            raise self._invalid(reason, "sort strings or numbers") from None

    def map(self, args: dict[str, Any]) -> None:
        """Select values from each map in a list."""
        pack_args = self._args(args)
        source = self._list(args, pack_args.text("srcName"))
        selectors = [str(path) for path in pack_args.value("selectors", [])]
        limit = pack_args.number("limit", len(source))
        picked = [{path: self._at(item, path) for path in selectors} for item in source[:limit]]
        put(args, pack_args.text("name"), picked)

    def split(self, args: dict[str, Any]) -> None:
        """Split a text into a list of maps."""
        text = self._at(args, self._args(args).text("source"))
        separator = args.get("separator")
        if not isinstance(text, str):
            raise self._invalid(
                f"`source` is the path of {quoted(text)}", "use the path of a string"
            )
        parts = text.splitlines() if separator is None else text.split(str(separator))
        args["_list"] = [{"item": part} for part in parts]

    def read(self, args: dict[str, Any]) -> None:
        """Add the map in a YAML or JSON file to the args.

        Raises:
            JobFileError: The file cannot be read.
        """
        path = Path(self._args(args).text("file"))
        content = read(path, str(path)).data
        if not isinstance(content, dict):
            raise self._invalid(f"{str(path)!r} does not contain a map", "write `key: value` in it")
        args.update(content)

    def keep(self, args: dict[str, Any]) -> None:
        """Keep args for another job of this run."""
        name, path = self._kept(args)
        whole = args.get("_list", {key: args[key] for key in args if key != "ojobkeep"})
        self._session.kept[name] = self._at(args, path) if path else whole

    def get_kept(self, args: dict[str, Any]) -> None:
        """Add a kept value to the args."""
        name, path = self._kept(args)
        if name not in self._session.kept:
            known = ", ".join(map(repr, self._session.kept)) or "none"
            raise self._invalid(f"no value was kept as {name!r}", f"kept values: {known}")
        value = self._session.kept[name]
        value = self._at(value, path) if path else value
        if isinstance(value, list):
            args["_list"] = value
        elif isinstance(value, dict):
            args.update(value)
        else:
            args[path.rpartition(".")[2] or name] = value

    def _kept(self, args: Mapping[str, Any]) -> tuple[str, str]:
        settings = args.get("ojobkeep") or {}
        return str(settings.get("name") or "default"), str(settings.get("keep") or "")

    def chosen(self, args: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Return the jobs that a switch selects, each with its args."""
        pack_args = self._args(args)
        value = str(self._at(args, pack_args.text("switchOn")))
        todos = pack_args.value("todos", {})
        value = value.lower() if pack_args.flag("lowerCase", default=False) else value
        entries = todos.get(value, args.get("default") or [])
        return [self._entry(each) for each in (entries if isinstance(entries, list) else [entries])]

    def _entry(self, entry: Any) -> tuple[str, dict[str, Any]]:
        if isinstance(entry, str):
            return entry, {}
        if isinstance(entry, Mapping) and isinstance(name := entry.get("name"), str):
            return name, dict(entry.get("args") or {})
        raise self._invalid(f"{entry!r} is not a call of a job", "pass a name, or {name, args}")

    def report(self, args: Mapping[str, Any], format: str = "table") -> None:
        """Report the outcomes of the jobs of this run, in the arg `format` if it is set."""
        format = str(self._args(args).value("format", format))
        rows = [
            {
                "job": outcome.job,
                "status": outcome.status,
                "seconds": round(outcome.seconds, 3),
                **({"reason": outcome.reason} if outcome.reason else {}),
            }
            for outcome in self._session.progress.outcomes
            if args.get("name") in (None, outcome.job)
        ]
        match format:
            case "json":
                text = json.dumps(rows, indent=2)
            case "yaml":
                text = as_yaml(rows)
            case _:
                text = as_table(rows)
        self._context.log("info", text)

    def _at(self, data: Any, path: str) -> Any:
        try:
            return at(data, path)
        except LookupError:
            raise self._invalid(f"the args have no `{path}`", "use the path of an arg") from None

    def _list(self, args: dict[str, Any], path: str) -> list[Any]:
        value = self._at(args, path)
        if not isinstance(value, list):
            raise self._invalid(f"`{path}` is {quoted(value)}", "use the path of a list")
        return value

    def _args(self, args: Mapping[str, Any]) -> PackArgs:
        return PackArgs(self._context.caller, args, BASICS)

    def _invalid(self, reason: str, advice: str) -> InvalidJobArgs:
        return self._args({}).invalid(reason, advice)


def at(data: Any, path: str) -> Any:
    """Return the value at a path through maps and lists, such as ``order.lines.0``.

    Raises:
        LookupError: There is no such value.
    """
    for step in filter(None, path.split(".")):
        if isinstance(data, list) and step.isdecimal():
            data = data[int(step)]
        elif isinstance(data, Mapping):
            data = data[step]
        else:
            raise LookupError(step)
    return data


def put(data: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path; missing maps on the way are created."""
    *way, last = path.split(".")
    for step in way:
        data = data.setdefault(step, {})
    data[last] = value


def as_yaml(value: Any) -> str:
    """Return a value as YAML."""
    from ruamel.yaml import YAML

    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(value, stream)
    return stream.getvalue().removesuffix("\n").removesuffix("\n...")


def as_table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a table with aligned columns."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([str(row.get(key, "")) for key in columns] for row in rows)]
    return "\n".join(align(cells))

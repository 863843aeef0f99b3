"""What the jobs of the pack oJobBasics.yaml stand on."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ojobchannels.errors import InvalidJobArgs
from ojobchannels.host.terminal import align
from ojobchannels.manager.pool import release_slot
from ojobchannels.ojob.packs.args import Asked
from ojobchannels.ojob.yaml.source import read

if TYPE_CHECKING:
    from ojobchannels.ojob.run.job_steps import Steps

_FORMATS: Final = ("table", "json", "yaml")


class BasicsBridge:
    """What ``basics`` means in the code of a bundled pack."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._session = steps.session

    def sleep(self, seconds: float) -> None:
        """Waits, or until the run is to stop."""
        with release_slot():
            self._session.stopping.wait(seconds)

    def sh(self, args: dict[str, Any]) -> None:
        """Runs commands of the shell, one after the other.

        Raises:
            CalledProcessError: One ended with another status than it should.
            TimeoutExpired: They took too long.
        """
        asked = Asked(self._steps.caller, args)
        commands = args.get("cmd")
        told: list[tuple[str, str]] = []
        for command in commands if isinstance(commands, list) else [asked.text("cmd")]:
            done = subprocess.run(  # noqa: S603  a job file is code
                ["/bin/sh", "-c", str(command)],
                cwd=args.get("directory"),
                input=str(args.get("stdin") or ""),
                capture_output=True,
                text=True,
                timeout=asked.milliseconds("timeout", None, 1),
                check=False,
            )
            told.append((done.stdout, done.stderr))
            if done.returncode != asked.number("exitcode", 0, 0):
                self._tell_output(args, told)
                raise subprocess.CalledProcessError(
                    done.returncode, command, done.stdout, done.stderr
                )
        self._tell_output(args, told)

    def _tell_output(self, args: dict[str, Any], told: list[tuple[str, str]]) -> None:
        out, err = ("".join(part) for part in zip(*told, strict=True))
        if args.get("quiet"):
            args["stdout"], args["stderr"] = out, err
            return
        prefix = str(args.get("prefix") or "")
        for line in out.splitlines():
            self._steps.log("info", prefix + line)
        for line in err.splitlines():
            self._steps.log("warn", prefix + line)

    def print_json(self, args: dict[str, Any]) -> None:
        """Prints what a path names as JSON."""
        found = self._at(args, str(args.get("name") or ""))
        self._steps.log("info", json.dumps(found, indent=None if args.get("min") else 2))

    def print_yaml(self, args: dict[str, Any], path: str) -> None:
        """Prints what a path names as YAML."""
        self._steps.log("info", as_yaml(self._at(args, path)))

    def sort(self, args: dict[str, Any]) -> None:
        """Sorts a list."""
        name = Asked(self._steps.caller, args).text("name")
        source = self._list(args, str(args.get("srcName") or name))
        try:
            put(args, name, sorted(source, reverse=bool(args.get("reverse"))))
        except TypeError as error:
            raise self._wrong(
                f"{name!r} cannot be sorted: {error}", "sort texts or numbers"
            ) from None

    def map(self, args: dict[str, Any]) -> None:
        """Picks some of each map in a list."""
        asked = Asked(self._steps.caller, args)
        source = self._list(args, asked.text("srcName"))
        selectors = [str(one) for one in args.get("selectors") or []]
        limit = asked.number("limit", len(source), 0)
        picked = [{path: self._at(one, path) for path in selectors} for one in source[:limit]]
        put(args, asked.text("name"), picked)

    def split(self, args: dict[str, Any]) -> None:
        """Splits a text into a list of maps."""
        text = self._at(args, Asked(self._steps.caller, args).text("source"))
        separator = args.get("separator")
        if not isinstance(text, str):
            raise self._wrong(f"`source` names {text!r}", "name a text")
        parts = text.splitlines() if separator is None else text.split(str(separator))
        args["_list"] = [{"item": part} for part in parts]

    def read(self, args: dict[str, Any]) -> None:
        """Adds the map in a file to the args; JSON is YAML too.

        Raises:
            JobFileError: The file cannot be read.
        """
        path = Path(Asked(self._steps.caller, args).text("file"))
        found = read(path, str(path)).data
        if not isinstance(found, dict):
            raise self._wrong(f"{str(path)!r} holds no map", "write `key: value` in it")
        args.update(found)

    def keep(self, args: dict[str, Any]) -> None:
        """Keeps args for another job of this run."""
        name, path = self._kept(args)
        whole = args.get("_list", {key: args[key] for key in args if key != "ojobkeep"})
        self._session.kept[name] = self._at(args, path) if path else whole

    def get_kept(self, args: dict[str, Any]) -> None:
        """Adds to the args what was kept."""
        name, path = self._kept(args)
        if name not in self._session.kept:
            known = ", ".join(map(repr, self._session.kept)) or "nothing"
            raise self._wrong(f"nothing was kept as {name!r}", f"kept was {known}")
        found = self._session.kept[name]
        found = self._at(found, path) if path else found
        if isinstance(found, list):
            args["_list"] = found
        elif isinstance(found, dict):
            args.update(found)
        else:
            args[path.rpartition(".")[2] or name] = found

    def _kept(self, args: Mapping[str, Any]) -> tuple[str, str]:
        asked = args.get("ojobkeep") or {}
        return str(asked.get("name") or "default"), str(asked.get("keep") or "")

    def chosen(self, args: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Returns the jobs to run, each with its args."""
        value = str(self._at(args, Asked(self._steps.caller, args).text("switchOn")))
        todos = args.get("todos")
        if not isinstance(todos, Mapping):
            raise self._wrong(f"`todos` is {todos!r}", "give a map from values to lists of jobs")
        value = value.lower() if args.get("lowerCase") else value
        entries = todos.get(value, args.get("default") or [])
        return [self._entry(one) for one in (entries if isinstance(entries, list) else [entries])]

    def _entry(self, entry: Any) -> tuple[str, dict[str, Any]]:
        if isinstance(entry, str):
            return entry, {}
        if isinstance(entry, Mapping) and isinstance(name := entry.get("name"), str):
            return name, dict(entry.get("args") or {})
        raise self._wrong(f"{entry!r} is no call of a job", "give a name, or {name, args}")

    def report(self, args: Mapping[str, Any], format: str) -> None:
        """Tells what became of the jobs of this run."""
        if format not in _FORMATS:
            raise self._wrong(f"`format` is {format!r}", f"give {', '.join(_FORMATS)}")
        rows = [
            {
                "job": one.job,
                "status": one.status,
                "seconds": round(one.seconds, 3),
                **({"reason": one.reason} if one.reason else {}),
            }
            for one in self._session.outcomes
            if args.get("name") in (None, one.job)
        ]
        match format:
            case "json":
                text = json.dumps(rows, indent=2)
            case "yaml":
                text = as_yaml(rows)
            case _:
                text = as_table(rows)
        self._steps.log("info", text)

    def _at(self, data: Any, path: str) -> Any:
        try:
            return at(data, path)
        except LookupError:
            raise self._wrong(f"nothing is named `{path}`", "name what is in the args") from None

    def _list(self, args: dict[str, Any], path: str) -> list[Any]:
        found = self._at(args, path)
        if not isinstance(found, list):
            raise self._wrong(f"`{path}` is {found!r}", "name a list")
        return found

    def _wrong(self, reason: str, advice: str) -> InvalidJobArgs:
        return InvalidJobArgs(f"job {self._steps.caller!r}", reason, advice)


def at(data: Any, path: str) -> Any:
    """Returns what a path names, through maps and lists.

    Raises:
        LookupError: It names nothing.
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
    """Puts a value where a path names it; maps on the way are made."""
    *way, last = path.split(".")
    for step in way:
        data = data.setdefault(step, {})
    data[last] = value


def as_yaml(value: Any) -> str:
    """Returns a value as YAML."""
    from ruamel.yaml import YAML

    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(value, stream)
    return stream.getvalue().removesuffix("\n").removesuffix("\n...")


def as_table(rows: list[dict[str, Any]]) -> str:
    """Returns rows in columns."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([str(row.get(key, "")) for key in columns] for row in rows)]
    return "\n".join(align(cells))

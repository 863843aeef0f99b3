"""The command line: ``python -m benchmarks --part locks --type redis --quick``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import report
from benchmarks.cases import MILLION, PARTS, TYPES, Case, cases
from benchmarks.measure import Workspace, contest
from benchmarks.report import Row
from ojobchannels.testing.servers import (
    IgniteServer,
    MongoServer,
    PostgresServer,
    RedisServer,
    Server,
    ServerMissing,
)
from ojobchannels.testing.servers.ignite import VERSION

_SLOW = {"contention", "history", "start-up", "sizes"}
_FEW = 3  # rounds of a slow part
_SERVERS: dict[str, Callable[[], Server]] = {
    "redis": RedisServer,
    "mongo": lambda: MongoServer(replica_set=True),
    "mongo-w1": MongoServer,
    "postgres": lambda: PostgresServer(durable=True),
    "ignite": IgniteServer,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables, and return the exit status."""
    options = _parser().parse_args(arguments)
    rounds = options.rounds or (3 if options.quick else 15)
    seconds = options.seconds or (0.02 if options.quick else 0.1)
    chosen = [case for case in cases(options.records or (10_000 if options.quick else MILLION))
              if _is_chosen(case, options)]  # fmt: skip
    if options.list:
        print("\n".join(case.title for case in chosen))
        return 0
    missed: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(_temporary_folder(options.folder)))
        types = {case.type for case in chosen}
        workspace, servers = stack.enter_context(running_servers(folder, types))
        for part in PARTS:
            here = min(rounds, _FEW) if part in _SLOW else rounds
            about = report.machine(folder, here, seconds, servers)
            rows = [
                _measured(case, workspace, here, seconds) for case in chosen if case.part == part
            ]
            if rows:
                _report(part, rows, about, options.out)
            missed += [message for row in rows for message in report.missed(row)]
    print(f"\n{len(missed)} targets missed" + "".join(f"\n  {message}" for message in missed))
    return 1 if missed and options.check else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure ojobchannels, its peers and the floor in one run.",
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part")
    parser.add_argument("--type", action="append", choices=TYPES, help="only this channel type")
    parser.add_argument("--case", default="", help="only cases whose name contains this text")
    parser.add_argument("--rounds", type=int, help="number of rounds (15; 3 for slow parts)")
    parser.add_argument("--seconds", type=float, help="length of a turn in seconds (0.1)")
    parser.add_argument(
        "--records", type=int, help="number of records in the long history (1,000,000)"
    )
    parser.add_argument("--quick", action="store_true", help="few and short rounds, 10,000 records")
    parser.add_argument("--folder", type=Path, help="where to keep files, on the disk to measure")
    parser.add_argument(
        "--out", type=Path, help="write PART.md, .png and .json here; without it, only print"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--list", action="store_true", help="only list what would be measured")
    return parser


def _is_chosen(case: Case, options: argparse.Namespace) -> bool:
    return (
        (not options.part or case.part in options.part)
        and (not options.type or case.type in options.type)
        and options.case in case.name
    )


def _temporary_folder(inside: Path | None) -> tempfile.TemporaryDirectory[str]:
    # Threads of some peers still write while the folder is removed.
    return tempfile.TemporaryDirectory(prefix="bench-", dir=inside, ignore_cleanup_errors=True)


@contextmanager
def running_servers(folder: Path, types: Set[str]) -> Iterator[tuple[Workspace, dict[str, str]]]:
    """Start the servers of some channel types; yield the workspace and their versions."""
    with ExitStack() as running:
        urls, versions = {}, {}
        for type in types & _SERVERS.keys():
            try:
                server = running.enter_context(_SERVERS[type]())
            except ServerMissing as missing:
                urls[type] = f"no server: {missing}"
                continue
            urls[type] = server.url
            versions[type] = _version(server)
        yield Workspace(folder, urls), versions


def _version(server: Server) -> str:
    if isinstance(server, RedisServer):
        info = server.info()
        version = info.get("valkey_version") or info["redis_version"]
        return f"{info.get('server_name', 'redis')} {version}"
    if isinstance(server, IgniteServer):
        return f"Apache Ignite {VERSION}"
    if isinstance(server, PostgresServer):
        import psycopg

        with psycopg.connect(server.url) as connection:
            return f"PostgreSQL {connection.info.server_version // 10_000}"
    from pymongo import MongoClient

    client: MongoClient[dict[str, object]] = MongoClient(server.url)
    with client:
        return f"MongoDB {client.server_info()['version']}"


def _measured(case: Case, workspace: Workspace, rounds: int, seconds: float) -> Row:
    print(f"… {case.title}", file=sys.stderr, flush=True)
    return Row(case, contest(case.entrants(), workspace, rounds, seconds))


def _report(part: str, rows: list[Row], about: dict[str, object], out: Path | None) -> None:
    text = report.markdown(part, rows, about)
    print(f"\n## {part}\n\n{text}")
    if out is not None:
        from benchmarks import plots

        out.mkdir(parents=True, exist_ok=True)
        (out / f"{part}.md").write_text(text, encoding="utf-8")
        data = json.dumps(report.as_json(rows, about), indent=1, ensure_ascii=False)
        (out / f"{part}.json").write_text(data + "\n", encoding="utf-8")
        plots.draw(part, rows, out)


if __name__ == "__main__":
    sys.exit(main())

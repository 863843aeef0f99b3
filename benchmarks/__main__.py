"""The command line: ``python -m benchmarks --part locks --type redis --quick``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import report
from benchmarks.cases import MILLION, PARTS, TYPES, Case, cases
from benchmarks.measure import Place, contest
from benchmarks.report import Row
from ojobchannels.testing.servers import MongoServer, RedisServer, ServerMissing

_SLOW = {"contention", "history", "start-up", "sizes"}
_FEW = 3  # rounds of a slow part
_FIELDS = {"redis": "redis", "mongo": "mongo", "mongo-w1": "mongo_alone"}


def main(arguments: list[str] | None = None) -> int:
    """Measures, tells, and returns the exit status."""
    asked = _parser().parse_args(arguments)
    rounds = asked.rounds or (3 if asked.quick else 15)
    seconds = asked.seconds or (0.02 if asked.quick else 0.1)
    chosen = [case for case in cases(asked.records or (10_000 if asked.quick else MILLION))
              if _is_chosen(case, asked)]  # fmt: skip
    if asked.list:
        print("\n".join(case.title for case in chosen))
        return 0
    missed: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(_temporary_folder(asked.folder)))
        place, servers = stack.enter_context(_servers(folder, chosen))
        for part in PARTS:
            here = min(rounds, _FEW) if part in _SLOW else rounds
            about = report.machine(folder, here, seconds, servers)
            rows = [_measured(one, place, here, seconds) for one in chosen if one.part == part]
            if rows:
                _tell(part, rows, about, asked.out)
            missed += [words for row in rows for words in report.missed(row)]
    print(f"\n{len(missed)} targets missed" + "".join(f"\n  {one}" for one in missed))
    return 1 if missed and asked.check else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure ojobchannels beside its peers and the floor, in one run.",
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part")
    parser.add_argument("--type", action="append", choices=TYPES, help="only this channel type")
    parser.add_argument("--case", default="", help="only cases whose name holds this text")
    parser.add_argument("--rounds", type=int, help="how many rounds (15; of a slow part, 3)")
    parser.add_argument("--seconds", type=float, help="how long a turn lasts (0.1)")
    parser.add_argument("--records", type=int, help="length of the long history (1,000,000)")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, 10,000 records")
    parser.add_argument("--folder", type=Path, help="where to work: on the disk that counts")
    parser.add_argument(
        "--out", type=Path, help="write PART.md, .json, .png and .svg here; only print without it"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--list", action="store_true", help="only tell what would be measured")
    return parser


def _is_chosen(case: Case, asked: argparse.Namespace) -> bool:
    return (
        (not asked.part or case.part in asked.part)
        and (not asked.type or case.type in asked.type)
        and asked.case in case.name
    )


def _temporary_folder(inside: Path | None) -> tempfile.TemporaryDirectory[str]:
    # Some peers' threads write to the very end.
    return tempfile.TemporaryDirectory(prefix="bench-", dir=inside, ignore_cleanup_errors=True)


def _server(type: str) -> RedisServer | MongoServer:
    return RedisServer() if type == "redis" else MongoServer(replica_set=type == "mongo")


@contextmanager
def _servers(folder: Path, chosen: list[Case]) -> Iterator[tuple[Place, dict[str, str]]]:
    """Starts the servers that the cases need, and tells what they are."""
    types = {case.type for case in chosen}
    with ExitStack() as running:
        urls, told = {}, {}
        for type, field in _FIELDS.items():
            if type not in types:
                continue
            try:
                server = _server(type)
            except ServerMissing as missing:
                urls[field] = f"no server: {missing}"
                continue
            running.enter_context(server)
            urls[field] = server.url
            told[type] = _version(server)
        yield Place(folder, **urls), told


def _version(server: RedisServer | MongoServer) -> str:
    if isinstance(server, RedisServer):
        info = server.info()
        version = info.get("valkey_version") or info["redis_version"]
        return f"{info.get('server_name', 'redis')} {version}"
    from pymongo import MongoClient

    client: MongoClient[dict[str, object]] = MongoClient(server.url)
    with client:
        return f"MongoDB {client.server_info()['version']}"


def _measured(case: Case, place: Place, rounds: int, seconds: float) -> Row:
    print(f"… {case.title}", file=sys.stderr, flush=True)
    return Row(case, contest(case.entrants(), place, rounds, seconds))


def _tell(part: str, rows: list[Row], about: dict[str, object], out: Path | None) -> None:
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

"""Runs the code blocks of one page of the documentation, in order, in the current folder.

A program of `test_docs_blocks`, which does without pytest since it is started for each page.
CONTRIBUTING.md explains how to write such blocks.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from unittest import SkipTest

from sybil import Document, Example, Region
from sybil.evaluators.python import PythonEvaluator
from sybil.example import SybilFailure
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer
from sybil.parsers.myst import SkipParser
from sybil.typing import Evaluator

COMMENTS_ABOVE = re.compile(r"(?:<!--[^\n]*-->\s*)+\Z")
COMMAND = re.compile(r"^\$ (?P<command>.*\n(?:> .*\n)*)(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)


def run(page: Path) -> None:
    """Run the blocks of one page, in order, in this process and folder."""
    document = Document.parse(str(page), blocks, SkipParser())
    document.namespace["__name__"] = "__main__"
    for example in document.examples():
        try:
            example.evaluate()
        except SkipTest:
            continue
        except SybilFailure as failure:
            sys.exit(str(failure))


def blocks(document: Document) -> Iterator[Region]:
    """Yield the blocks to run or to write; a parser for Sybil."""
    fences = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[^\n]*)$\n", re.MULTILINE))
    for region in fences(document):
        above = COMMENTS_ABOVE.search(document.text, 0, region.start)
        comments = above.group() if above else ""
        evaluator: Evaluator
        if file := re.search(r"<!-- file: (.+?) -->", comments):
            evaluator = WriteFile(file.group(1))
        elif region.lexemes["language"] == "python":
            evaluator = PythonEvaluator()
        elif region.lexemes["language"] == "console":
            status = re.search(r"<!-- exit status: (\d+) -->", comments)
            evaluator = RunCommands(int(status.group(1)) if status else 0)
        else:
            continue
        region.parsed = region.lexemes["source"]
        region.evaluator = evaluator
        yield region


class WriteFile:
    """Writes a block to a file, for the blocks that follow."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, example: Example) -> None:
        path = Path(self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(example.parsed, "utf-8")


class RunCommands:
    """Runs the commands of a block and compares what they print, errors included."""

    def __init__(self, status: int) -> None:
        self.status = status  # of the last command; the others must succeed

    def __call__(self, example: Example) -> str | None:
        source = str(example.parsed)
        commands = list(COMMAND.finditer(source))
        if "".join(match.group() for match in commands) != source:
            return "A console block starts with `$ ` and a command."
        for match in commands:
            command = match["command"].rstrip("\n").replace("\n> ", "\n")
            status = self.status if match is commands[-1] else 0
            with TemporaryFile("w+", encoding="utf-8") as output:  # a pipe would wait for a `... &`
                done = subprocess.run(
                    ["sh", "-c", command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
                output.seek(0)
                printed = output.read()
            if done.returncode != status or not same(match["output"], printed):
                return (
                    f"$ {command}\n"
                    f"--- the page says, with exit status {status}:\n{match['output']}"
                    f"--- it printed, with exit status {done.returncode}:\n{printed}"
                )
        return None


def same(expected: str, printed: str) -> bool:
    """Return whether the output is as expected; `...` matches any text."""
    expected, printed = (
        "\n".join(line.rstrip() for line in text.rstrip().splitlines())
        for text in (expected, printed)
    )
    pattern = ".*?".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


if __name__ == "__main__":
    run(Path(sys.argv[1]))

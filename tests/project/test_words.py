"""The texts of the project avoid phrases that its readers stumbled over."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.kit  # on one interpreter: the texts are the same on all

CHECKOUT = Path(__file__).resolve().parents[2]
KINDS = {".json", ".md", ".py", ".toml", ".yaml", ".yml"}
FOLDERS = ("benchmarks", "docs", "ojobchannels", "plugins", "tests", ".github", ".ci")

# By phrase, as a regular expression: what to write instead. Lower case, so that `None` is no match.
INSTEAD = {
    r"\btime is over\b": "the lease expired",
    r"(?<!there )\bis none\b": "is not a valid …",
    r"(?<!here )\b(?:is|are|was|were) no (?!(?:\w+er|more|less|one)\b)[a-z]": "is not a …",
    r"\bwho (?:asks|calls|fails|forks|gives|holds|takes|unlocks|waits|wakes|works|writes)\b": (
        "the waiter, the caller, a process that …"
    ),
    r"(?<!cannot )(?<!ost[ .])(?<!def )\btell\b": "report, log, show, message, info",
    r"\b(?:tells|telling|told)\b(?![`\"])": "report, log, show, message, info",
    r"\bgo(?:es|ing)? on\b": "continue",
    r"\bstands?\b(?! for\b)": "is, is stored, pauses",
    r"\bso (?:many|long)\b": "N, at most N, for N seconds",
    r"\bput(?:s|ting)? out\b": "evict, force-release",
    r"\bbelongs? into\b": "belong in",
    r"\bhad better\b": "should",
    r"\b(?:runs?|jobs?) (?:is|are) on\b": "is running",
    r"\b(?:nobody|somebody)\b": "no process, another holder",
    r"\bwhom\b": "name the process or person",
    r"\bfor ever\b": "forever, without a limit",
    r"\banew\b": "again",
    r"\bto be had\b": "available",
    r"\"\"\"(?:Who|Whoever|Whatever)\b": "the caller, any value: name the subject",
    r"\"\"\"What (?:comes|goes|has|is|looks|was|were)\b": "name the subject",
    r"\"\"\"Has (?:a|an|the)\b": "Make …, Let …",
    r"\b(?:has|have|had) to be\b|\b(?:has|had) to [a-z]": "must",
    r"\b(?:all|ones?|those) who\b": "the callers that, users who",
    r"\bin vain\b": "without success, refused",
    r"\bhas it whole\b": "has the full …",
    r"\ball the same\b": "still",
    r"; else (?!:)": "otherwise, or None",
    r"\b(?:lease|wait|ttl) is over\b": "has expired, ends",
    r"\bcalled off\b": "cancelled",
    r"\btroubles?\b(?!`)": "error",
    r"\banswers?\b(?!\.append)": "result, reply",
    r"\bmanners\b": "todo overrides",
    r"\bagenda\b": "todo",
    r"\bwhole numbers?\b": "integer",
    r"\bknown here:": "known: …",
    r"\b(?:expected|found) text\b": "a string",
    r"\bis in line \d": "is on line …",
    r"\bhas not begun\b": "was not started",
    r"\bthe call is wrong\b": "the command line is wrong",
    r"\bSaid of\b": "Of a …: it …",
    r"\b(?:prove|believe)s? in\b": "rely on",
    r"\bthis is not (?:JSON|Python|YAML)\b": "invalid …",
}
_EACH = (f"(?P<_{number}>{text})" for number, text in enumerate(INSTEAD))
BANNED = re.compile(rf'(?:\b|(?=[";]))(?:{"|".join(_EACH)})')  # few places to begin at: it is fast


def texts() -> list[Path]:
    files = [path for path in CHECKOUT.iterdir() if path.is_file()]
    files += [path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*")]
    chosen = {path for path in files if path.suffix in KINDS and path != Path(__file__)}
    return sorted(path for path in chosen if "_build" not in path.parts)


def test_no_text_has_a_banned_phrase() -> None:
    """Each is listed with its file and line, and with what to write instead."""
    found = []
    for path in texts():
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            for match in BANNED.finditer(line.replace("_", " ")):
                instead = list(INSTEAD.values())[int(str(match.lastgroup)[1:])]
                place = f"{path.relative_to(CHECKOUT)}:{number}"
                found.append(f"{place}: {match[0]!r}; write: {instead}")
    assert found == [], "\n".join(found)

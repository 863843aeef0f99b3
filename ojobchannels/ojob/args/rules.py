"""Rules for the args of a job before and after its code, from `check`.

A rule is a chain such as ``toNumber.between(1, 10).default(5)``: steps from left to right, some of
which check the value and some convert it. An arg without a `default` is required.
"""

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from ojobchannels.documents import check_value, encode, same
from ojobchannels.errors import InvalidJobArgs, InvalidValue
from ojobchannels.masking import MASK, is_secret_name
from ojobchannels.ojob.args.templates import copied
from ojobchannels.suggestions import did_you_mean

_MISSING: Final = object()
_MAX_LENGTH: Final = 120
_WORDS: Final = {"true": True, "false": False, "null": None}
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class InvalidRule(Exception):
    """A rule is not valid: the arguments are the reason and the advice."""


class _Refused(Exception):
    """A value is not valid; the message continues the name of the arg."""


class _Step(NamedTuple):
    name: str
    given: tuple[Any, ...]


class Rule(NamedTuple):
    """The rule for one arg.

    Attributes:
        path: The names of the levels at which the arg is.
        steps: The steps of the chain, without `default`.
    """

    path: tuple[str, ...]
    steps: tuple[_Step, ...]
    default: Any

    @classmethod
    def read(cls, name: str, text: str) -> "Rule":
        """Read a rule.

        Raises:
            InvalidRule: The text is not a rule.
        """
        steps = list(_steps(text))
        defaults = [step.given[0] for step in steps if step.name == "default"]
        rest = tuple(step for step in steps if step.name != "default")
        return cls(cls.path_of(name), rest, defaults[-1] if defaults else _MISSING)

    @property
    def is_secret(self) -> bool:
        """Whether the value of the arg is shown nowhere."""
        return is_secret_name(self.path[-1]) or any(step.name == "secret" for step in self.steps)

    @staticmethod
    def path_of(name: str) -> tuple[str, ...]:
        """Return the names of the levels at which an arg is."""
        return tuple(name.split("."))

    def apply(self, args: dict[str, Any]) -> None:
        """Check an arg, and replace it by its converted value.

        Raises:
            _Refused: The arg is not valid.
        """
        value = _look_up(args, self.path)
        if value is None and self.default is _MISSING:
            raise _Refused("is missing")
        if value is None:
            value = copied(self.default)
        else:
            for step in self.steps:
                try:
                    value = _STEPS[step.name].act(value, *step.given)
                except _Refused as refused:
                    if self.is_secret:
                        raise _Refused(str(refused).replace(_shown(value), MASK)) from None
                    raise
        _put(args, self.path, value)


def apply_rules(rules: tuple[Rule, ...], args: dict[str, Any], where: str) -> None:
    """Apply rules to args.

    Raises:
        InvalidJobArgs: Some args are not valid; the message lists all of them.
    """
    errors = []
    for rule in rules:
        try:
            rule.apply(args)
        except _Refused as refused:
            errors.append(f"`{'.'.join(rule.path)}` {refused}")
    if errors:
        raise InvalidJobArgs(where, "; ".join(errors), "pass args that match the job's `check`")


def _steps(text: str) -> Iterator[_Step]:
    try:
        node = ast.parse(f"value.{text.strip()}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        advice = "write a chain such as `isString.default('none')`"
        raise InvalidRule(f"`{text}` is not a rule", advice) from None
    found: list[_Step] = []
    while not isinstance(node, ast.Name):
        given: tuple[Any, ...] = ()
        if isinstance(node, ast.Call):
            given = tuple(_literal(one) for one in node.args)
            node = node.func
        if not isinstance(node, ast.Attribute):
            raise InvalidRule(f"`{text}` is not a rule", "write a chain such as `isString`")
        found.append(_checked(_Step(node.attr, given)))
        node = node.value
    yield from reversed(found)


def _checked(step: _Step) -> _Step:
    known = _STEPS.get(step.name)
    if known is None:
        raise InvalidRule(f"unknown rule `{step.name}`", did_you_mean(step.name, _STEPS))
    if len(step.given) != known.takes:
        count = "nothing" if known.takes == 0 else f"{known.takes} value{'s' * (known.takes > 1)}"
        raise InvalidRule(f"`{step.name}` takes {count} in parentheses", f"write `{known.example}`")
    if step.name == "oneOf" and not isinstance(step.given[0], list):
        raise InvalidRule("`oneOf` takes a list", f"write `{known.example}`")
    if step.name == "between" and not all(map(_is_number, step.given)):
        raise InvalidRule("`between` takes numbers", f"write `{known.example}`")
    if step.name == "match" and not isinstance(step.given[0], str):
        raise InvalidRule("`match` takes a string", f"write `{known.example}`")
    if step.name == "match":
        try:
            re.compile(step.given[0])
        except re.error as error:
            reason = f"`match` takes a regular expression: {error}"
            raise InvalidRule(reason, "correct it") from None
    return step


class _Words(ast.NodeTransformer):
    """Replaces the names of JSON values by the values."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_WORDS[node.id]) if node.id in _WORDS else node


def _literal(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(_Words().visit(node))
        check_value(value)
    except (ValueError, TypeError, InvalidValue):
        reason = f"`{ast.unparse(node)}` is not a plain value"
        raise InvalidRule(reason, "write a number, a list, or a string in quotes") from None
    return value


def _look_up(args: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = args
    for at, step in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, dict):
            above = ".".join(path[:at])
            raise _Refused(f"is missing: `{above}` is {_shown(value)}, not a map")
        value = value.get(step)
    return value


def _put(args: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *above, last = path
    for step in above:
        inner = args.get(step)
        if not isinstance(inner, dict):
            inner = args[step] = {}
        args = inner
    args[last] = value


def _shown(value: Any) -> str:
    """Return a value as JSON, or its repr; only the beginning of a long one."""
    try:
        check_value(value)
        text = encode(value)
    except InvalidValue:
        text = repr(value)
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def _is(what: str, test: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def act(value: Any) -> Any:
        if not test(value):
            raise _Refused(f"is {_shown(value)}, not {what}")
        return value

    return act


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _to_number(value: Any) -> Any:
    if _is_number(value):
        return value
    text = str(value)
    for kind in (int, float) if text.isascii() and "_" not in text else ():
        with suppress(ValueError):
            number = kind(text)
            if math.isfinite(number):
                return number
    raise _Refused(f"is {_shown(value)}, not a number")


def _to_boolean(value: Any) -> bool:
    try:
        return _BOOLEANS[str(value).lower()]
    except KeyError:
        raise _Refused(f"is {_shown(value)}, not a boolean") from None


def _one_of(value: Any, choice: list[Any]) -> Any:
    if not any(same(value, one) for one in choice):
        raise _Refused(f"is {_shown(value)}, not one of {', '.join(map(_shown, choice))}")
    return value


def _between(value: Any, least: Any, most: Any) -> Any:
    if not _is_number(value) or not least <= value <= most:
        raise _Refused(f"is {_shown(value)}, not between {least} and {most}")
    return value


def _match(value: Any, pattern: str) -> Any:
    if not isinstance(value, str) or re.search(pattern, value) is None:
        raise _Refused(f"is {_shown(value)}, which does not match {pattern}")
    return value


class _Kind(NamedTuple):
    """A kind of step: what it does, how many values it takes, and an example."""

    act: Callable[..., Any]
    takes: int
    example: str


_STEPS: Final[Mapping[str, _Kind]] = {
    "isString": _Kind(_is("a string", lambda value: isinstance(value, str)), 0, "isString"),
    "isNumber": _Kind(_is("a number", _is_number), 0, "isNumber"),
    "isBoolean": _Kind(_is("a boolean", lambda value: isinstance(value, bool)), 0, "isBoolean"),
    "isArray": _Kind(_is("a list", lambda value: isinstance(value, list)), 0, "isArray"),
    "isMap": _Kind(_is("a map", lambda value: isinstance(value, dict)), 0, "isMap"),
    "toNumber": _Kind(_to_number, 0, "toNumber"),
    "toBoolean": _Kind(_to_boolean, 0, "toBoolean"),
    "oneOf": _Kind(_one_of, 1, "oneOf(['a', 'b'])"),
    "between": _Kind(_between, 2, "between(1, 10)"),
    "match": _Kind(_match, 1, "match('^[a-z]+$')"),
    "secret": _Kind(lambda value: value, 0, "secret"),
    "default": _Kind(lambda value, _: value, 1, "default('none')"),
}

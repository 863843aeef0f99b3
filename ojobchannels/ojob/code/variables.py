"""The args of a job as environment variables of its shell code."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ojobchannels.errors import InvalidJobArgs

MAX_BYTES: Final = 128 * 1024 - 1
"""The longest ``NAME=value`` that Linux passes to a program, and the longest argument."""

_ON_STDIN: Final = "read it from standard input, as JSON"
_PROGRAMS: Final = r"""
    # the loader, the C library, the shell
    (LD|DYLD|GLIBC|MALLOC|BASH|GCONV)_\w+ | PATH | CDPATH | IFS | ENV | HOME | SHELL | SHELLOPTS
    | BASHOPTS | PS[0-4] | PROMPT_COMMAND | ZDOTDIR | TMPDIR | (LOC|NLS|MAN|INFO)PATH | HOSTALIASES
    | LOCALDOMAIN | RES_OPTIONS | GETCONF_DIR | TERMINFO(_DIRS)? | TERMCAP | XDG_\w+
    # interpreters and build tools
    | PYTHON[A-Z_]+ | PERL(5\w+|LIB|IO|_\w+) | RUBY(OPT|LIB|PATH)\w* | GEM_\w+ | BUNDLE_\w+
    | NODE_(OPTIONS|PATH|REPL\w+|EXTRA_CA_CERTS|TLS\w+) | (?i:NPM_CONFIG_\w+) | PIP_\w+ | UV_\w+
    | LUA_(PATH|CPATH|INIT)\w* | PHPRC | PHP_INI_SCAN_DIR | CLASSPATH | _?JAVA_(TOOL_)?OPTIONS
    | JDK_JAVA_OPTIONS | (JAVA|JVM|MAVEN|GRADLE|ANT|SBT)_OPTS | (C|CXX|CPP|LD|MAKE|RUST)FLAGS
    | GO(FLAGS|PROXY|TOOLCHAIN) | RUSTC\w* | CARGO_\w+
    # tools that start others, and where they find servers, certificates and settings
    | \w*_ASKPASS | \w*_?(EDITOR|PAGER) | VISUAL | BROWSER | LESS(OPEN|CLOSE) | (RSYNC|CVS)_RSH
    | GIT_(SSH|CONFIG|EXEC|DIR|WORK|INDEX|OBJECT|ALTERNATE|TEMPLATE|PROXY|EXTERNAL|TRACE)\w*
    | SSH_(AUTH_SOCK|AGENT_PID|SK_\w+) | SVN_SSH | (TAR|GREP|LS)_OPTIONS | TAPE | POSIXLY_CORRECT
    | (?i:(HTTPS?|FTP|ALL|NO|RSYNC|SOCKS)_PROXY) | SSL_CERT_(FILE|DIR) | SSLKEYLOGFILE
    | OPENSSL_(CONF|MODULES|ENGINES)\w* | CURL_(HOME|CA_BUNDLE|SSL_BACKEND) | REQUESTS_CA_BUNDLE
    | WGETRC | NETRC | GNUPGHOME | KRB5\w+ | KUBECONFIG | AWS_\w+ | PGSERVICEFILE | PGSYSCONFDIR
    | DOCKER_(HOST|CONFIG|CONTEXT|CERT_PATH|TLS_VERIFY) | PGPASSFILE | MYSQL_(HOME|TEST_LOGIN_FILE)
    | OJOB_\w+
    """
"""Matches names by which programs, the loader and shells find code, servers and settings."""


def environment(args: Mapping[str, Any], job: str) -> dict[str, str]:
    """Return the environment of this process with the args of a job.

    Raises:
        InvalidJobArgs: An arg cannot be an environment variable, or would replace one: args may be
            data of others, which must not decide what a program does.
    """
    inherited = dict(os.environ)
    variables: dict[str, str] = {}
    for name, value in _variables(args):
        if name and inherited.get(name) != value:
            reason, advice = _refusal(name, value, name in inherited)
            if reason:
                raise InvalidJobArgs(f"job {job!r}", f"the arg {name!r} {reason}", advice)
            variables[name] = value
    return inherited | variables


def _refusal(name: str, value: str, is_inherited: bool) -> tuple[str, str]:
    """Return why an arg cannot be a variable, and what to do; empty texts if it can."""
    rename = "rename it, or set the variable in the script"
    if re.fullmatch(_PROGRAMS, name, re.VERBOSE):
        return "has the name of an environment variable that changes what programs do", rename
    if is_inherited:
        return f"would replace ${name}, which `ojob` has in its environment", rename
    if "\0" in value:
        return "contains NUL, which an environment variable cannot", _ON_STDIN
    if len(f"{name}={value}".encode("utf-8", "surrogateescape")) > MAX_BYTES:
        reason = f"is too long for an environment variable, which has at most {MAX_BYTES} bytes"
        return reason, "write it to a file, and pass the name of the file"
    return "", ""


def _variables(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the args as variables; the keys of nested maps are joined by underscores."""
    match value:
        case dict():
            for key, part in value.items():
                name = re.sub(r"\W", "_", key, flags=re.ASCII)
                yield from _variables(part, f"{path}_{name}" if path else name)
        case str():
            yield path, value
        case None:
            yield path, ""
        case _:
            yield path, json.dumps(value)

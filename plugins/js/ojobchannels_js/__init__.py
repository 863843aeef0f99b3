"""The language `js` of ojobchannels: JavaScript by an embedded engine in a child process.

This module is what the plugin manager loads; the engine loads when a job file has code for it.
"""

from __future__ import annotations

from ojobchannels import Code, Language, Program, hookimpl


def _compile(code: Code) -> Program:
    from ojobchannels_js.program import compile_script

    return compile_script(code)


JAVASCRIPT = Language(
    name="js",
    summary="JavaScript (ES2023), run by an embedded engine in a process of its own",
    compile=_compile,
    aliases=("javascript", "oaf"),
)


@hookimpl
def ojobchannels_languages() -> list[Language]:
    """Offers `js`."""
    return [JAVASCRIPT]

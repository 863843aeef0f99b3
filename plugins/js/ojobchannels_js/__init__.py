"""The language `js` of ojobchannels: JavaScript by an embedded engine in a child process.

The plugin manager imports this module. The engine is imported when a job file has JavaScript code.
"""

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
    """Return the language `js`."""
    return [JAVASCRIPT]

"""Sphinx configuration: MyST Markdown, the furo theme; needs no network."""

import builtins
import sys
from importlib.metadata import version as installed_version
from typing import Any

from sphinx.util.nodes import make_refnode

from ojobchannels import errors

project = "ojobchannels"
author = "The ojobchannels authors"
version = release = installed_version("ojobchannels")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "changes", "examples", "reference/speed"]  # not pages

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes are listed once, also where the class annotates them

# References to our own names must resolve. Names of the standard library and of our dependencies
# are shown without a link, since resolving them would need a network. So are private names, which
# are type variables of decorators.
_external = [
    *sorted(sys.stdlib_module_names),
    "click",
    "opentelemetry",
    "pluggy",
    "pydantic",
    "tinydb",
]
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(_external)})(\..+)?"),
    ("py:.*", rf"({'|'.join(name for name in dir(builtins) if name.isidentifier())})"),
    ("py:.*", r"(ojobchannels\.(.+\.)?)?_\w+"),
    # Parameters of constructors that only the package itself calls.
    (
        "py:class",
        r"ojobchannels\.(channels\.documents\.DocumentStore|operations\.operations\.Operations)",
    ),
    ("py:class", r"ojobchannels\.manager\.(jobs\.Manager|runs\.run_options\.Run(Options|Manager))"),
    ("py:class", r"ojobchannels\.manager\.durable_launches\.store\.LaunchStore"),
    ("py:class", r"ojobchannels\.aio\.(calls\.Calls|pending\.Pending)"),
    ("py:class", r"ojobchannels\.aio\.jobs\.options\.JobOptions"),
    ("py:class", r"ojobchannels\.manager\.schedules\.options\.JobSchedule"),
    ("py:class", r"ojobchannels\.ojob\.daemon\.again\.RunAgain"),
    ("py:class", r"~_Arguments"),
    ("py:class", r"ojobchannels\.manager\.output\.buffer\.OutputBuffer"),
]

html_theme = "furo"
html_title = f"ojobchannels {release}"
html_copy_source = False


def _link_to_errors(app: Any, _env: Any, node: Any, contnode: Any) -> Any:
    """Link the name of an error to the page that lists all errors."""
    error = getattr(errors, node["reftarget"].rpartition(".")[2], None)
    if isinstance(error, type) and issubclass(error, errors.ChannelError):
        return make_refnode(app.builder, node["refdoc"], "reference/errors", "", contnode)
    return None


def setup(app: Any) -> None:
    """Connect the handler; called by Sphinx."""
    app.connect("missing-reference", _link_to_errors)

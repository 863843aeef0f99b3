"""Settings of the documentation: Sphinx, MyST Markdown, the furo theme; no network needed."""

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

# References to our own names must resolve. Those of the standard library and of the packages that
# we stand on are shown without a link, since looking them up would need a network; so are private
# ones, which are type variables of decorators.
_elsewhere = [*sorted(sys.stdlib_module_names), "click", "pluggy", "pydantic", "tinydb"]
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(_elsewhere)})(\..+)?"),
    ("py:.*", rf"({'|'.join(name for name in dir(builtins) if name.isidentifier())})"),
    ("py:.*", r"(ojobchannels\.(.+\.)?)?_\w+"),
]

html_theme = "furo"
html_title = f"ojobchannels {release}"
html_copy_source = False


def _link_to_errors(app: Any, _env: Any, node: Any, contnode: Any) -> Any:
    """Leads from the name of an error to the page that lists them all."""
    named = getattr(errors, node["reftarget"].rpartition(".")[2], None)
    if isinstance(named, type) and issubclass(named, errors.ChannelError):
        return make_refnode(app.builder, node["refdoc"], "reference/errors", "", contnode)
    return None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", _link_to_errors)

"""Settings of the documentation: Sphinx, MyST Markdown, the furo theme; no network needed."""

import builtins
import sys
from importlib.metadata import version as installed_version

project = "ojobchannels"
author = "The ojobchannels authors"
version = release = installed_version("ojobchannels")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "examples"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes are listed once, also where the class annotates them

# References to our own names must resolve. Those of the standard library and of the packages that
# we stand on are shown without a link, since looking them up would need a network.
_elsewhere = [*sorted(sys.stdlib_module_names), "click", "pluggy", "pydantic", "rich", "tinydb"]
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(_elsewhere)})(\..+)?"),
    ("py:.*", rf"({'|'.join(name for name in dir(builtins) if name.isidentifier())})"),
]

html_theme = "furo"
html_title = f"ojobchannels {release}"
html_copy_source = False

"""Lets an environment of tox.ini name interpreters, of which the first installed one is used.

tox does that for `base_python`; with tox-uv it takes the first one, installed or not.
"""

from __future__ import annotations

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import EnvConfigSet
from tox.plugin import impl
from tox.session.state import State
from virtualenv.discovery.builtin import get_interpreter


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    """Add the setting `interpreters`, which sets `base_python`."""
    del state
    names = "the names of interpreters; the first one that is installed is used"
    env_conf.add_config("interpreters", of_type=list[str], default=[], desc=names)
    for name in env_conf["interpreters"]:
        if found := get_interpreter(name, []):
            env_conf.loaders.insert(0, MemoryLoader(base_python=[found.executable]))
            return

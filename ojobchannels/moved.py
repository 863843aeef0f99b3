"""The module paths documented for version 0.1, which keep working for one release."""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

NEW_PATHS: Final = {
    f"ojobchannels.{old}": f"ojobchannels.{new}"
    for old, new in {
        "channel": "channels.channel",
        "feeds": "changes",
        "languages": "ojob.languages",
        "leases": "channels.lease",
        "manager.director": "recipes.director",
        "manager.queue": "recipes.queue",
        "ojob.events": "ojob.report.events",
        "ojob.loading": "ojob.load.job_file",
        "ojob.scheduler": "manager.serving.timer",
        "opening": "channels.opening",
        "subscriptions": "channels.subscription",
        "testing.faults": "testing.fixtures.faults",
        "testing.histories": "testing.kit.histories",
        "testing.places": "testing.fixtures.storage",
        "testing.strategies": "testing.kit.strategies",
        "testing.subject": "testing.kit.subject",
        "testing.torture.arenas": "testing.torture.targets",
    }.items()
}


class MovedModules:
    """Imports a module under its old path, with a `DeprecationWarning` that names the new path.

    It is the last finder, so that imports of the new paths cost nothing. It has the methods of a
    finder and a loader, not their base classes: to import those takes longer than all of ours.
    """

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Return a spec for a module that has moved, and None for any other module."""
        loader: Any = self
        return ModuleSpec(fullname, loader) if fullname in NEW_PATHS else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module at its new path."""
        new = NEW_PATHS[spec.name]
        warnings.warn(
            f"the module {spec.name} is now {new}; the old path will be removed in version 0.3",
            DeprecationWarning,
            stacklevel=2,  # frames of the import system do not count
        )
        return import_module(new)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module was already executed under its new path."""


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module that resolves old names with a `DeprecationWarning`."""

    def resolve(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{module}.{name} is now {names[name]}; the old name will be removed in version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(import_module(module), names[name])

    return resolve


def install() -> None:
    """Register the finder, once per process."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())

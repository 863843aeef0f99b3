"""The modules of job files in `sys.modules`, where dataclasses, type hints and pickle look."""

import itertools
import sys
import threading
from types import ModuleType
from typing import Final

_registering: Final = threading.Lock()


def register(name: str, *, is_taken: bool = False) -> ModuleType:
    """Return a new module; it has the name with a number if another module has that name."""
    with _registering:
        if is_taken or name in sys.modules:
            others = (f"{name}@{number}" for number in itertools.count(2))
            name = next(other for other in others if other not in sys.modules)
        module = sys.modules[name] = ModuleType(name)
    return module


def unregister(module: ModuleType) -> None:
    """Remove a module; its functions and classes may still be in use."""
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]

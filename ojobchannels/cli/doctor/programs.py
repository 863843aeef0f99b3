"""Checks of the installation: plugins, and whether the versions belong together."""

from collections.abc import Iterator
from importlib.metadata import version

from ojobchannels.cli.doctor.checks import Check, problem
from ojobchannels.plugins import BUILT_IN, registry

_NAME = "installation"


def check_programs() -> Iterator[Check]:
    """Check the plugins that are installed here."""
    own = version(BUILT_IN)
    yield Check("ok", _NAME, f"ojobchannels {own}")
    plugins = registry()
    for failure in plugins.failures:
        text = f"plugin {failure.name!r} of {failure.distribution} cannot be loaded: "
        advice = f"reinstall it: pip install --force-reinstall {failure.distribution}"
        yield problem(_NAME, f"{text}{type(failure.error).__name__}: {failure.error}", advice)
    for name, distributions in plugins.conflicts().items():
        text = f"channel type {name!r} is provided by each of {', '.join(distributions)}"
        yield problem(_NAME, text, "uninstall all but one of them")
    for name in sorted({distribution for _, distribution in plugins.all()}):
        if name.startswith(f"{BUILT_IN}-") and version(name) != own:
            text = f"{name} has version {version(name)}, but ojobchannels {own}"
            yield problem(_NAME, text, f"install equal versions: pip install {name}=={own}")

"""The operations of open channels: the hooks of their backends, and what extensions wrap."""

from ojobchannels.operations.hook_manager import HookManager
from ojobchannels.operations.operations import Operations
from ojobchannels.operations.plugins import ChannelPlugins

__all__ = ["ChannelPlugins", "HookManager", "Operations"]

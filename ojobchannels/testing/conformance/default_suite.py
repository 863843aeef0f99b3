"""The test module that `pytest --ojob-conformance=TYPE` collects."""

from ojobchannels.testing.contracts import ChannelConformance


class TestConformance(ChannelConformance):
    """The whole kit, on the channel type of the option."""

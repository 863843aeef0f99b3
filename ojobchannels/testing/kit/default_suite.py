"""What `pytest --ojob-conformance=TYPE` collects."""

from ojobchannels.testing.contracts import ChannelConformance


class TestConformance(ChannelConformance):
    """The whole kit, on the type that the option names."""

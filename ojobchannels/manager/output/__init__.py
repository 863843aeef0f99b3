"""The output of a run, what it logs and prints: captured, bounded, and stored with its record."""

from ojobchannels.manager.output.lines import OutputLevel, OutputLimits, OutputLine, RunOutput

__all__ = ["OutputLevel", "OutputLimits", "OutputLine", "RunOutput"]

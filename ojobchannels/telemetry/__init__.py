"""Runs and locks of this process for OpenTelemetry: the extra ``otel``."""

from ojobchannels.telemetry.runs_and_locks import instrument as instrument
from ojobchannels.telemetry.runs_and_locks import uninstrument as uninstrument

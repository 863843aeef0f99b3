"""Metrics of jobs, computed from the records that all hosts share."""

from ojobchannels.metrics.job_metrics import JobMetrics as JobMetrics
from ojobchannels.metrics.prometheus import CONTENT_TYPE as CONTENT_TYPE

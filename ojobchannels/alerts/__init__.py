"""Alerts: notices of failed, abandoned, lost, overdue and skipped runs, once over all hosts."""

from ojobchannels.alerts.rules import Alert as Alert
from ojobchannels.alerts.rules import Mail as Mail
from ojobchannels.alerts.rules import Ping as Ping
from ojobchannels.alerts.rules import Webhook as Webhook

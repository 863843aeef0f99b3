"""The names of the jobs of the pack oJobManager.yaml."""

from __future__ import annotations

from typing import Final

INIT: Final = "oJobManager Init"
START: Final = "oJobManager Job Start"
END: Final = "oJobManager Job End"
ERROR: Final = "oJobManager Error"

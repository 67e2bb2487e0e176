"""Events as records of `logging`."""

import logging
from typing import Any

_LEVELS = {1: logging.INFO, 2: logging.INFO, 3: logging.WARNING, 4: logging.WARNING, 5: logging.ERROR}


class LogSink:
    """A sink that logs each event through `logging`, the logger `smesec` unless another is given.

    The level follows the severity: info and low are INFO, medium and high WARNING, critical ERROR; what was
    stopped is at least WARNING. The message is the event's; the event as a dict is the record's attribute `smesec`.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self.logger = logger or logging.getLogger("smesec")

    def __call__(self, event: dict[str, Any]) -> None:
        level = _LEVELS.get(event["severity_id"], logging.WARNING)
        if event["action"] not in ("pass", "log"):
            level = max(level, logging.WARNING)
        if self.logger.isEnabledFor(level):
            rules = ",".join(finding["rule"]["id"] for finding in event["findings"][:16])
            # Line feeds of a request must not make lines of the log.
            message = event["message"].encode("unicode_escape").decode("ascii")
            source = event.get("src_endpoint", "-")
            self.logger.log(level, "%s from %s, rules %s", message, source, rules or "-", extra={"smesec": event})

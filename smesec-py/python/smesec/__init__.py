"""Security engines that run inside your own process.

A web application firewall first: unmodified OWASP Core Rule Set, or the built-in pack.

    import smesec

    waf = smesec.Waf(smesec.RuleSet.builtin(), mode="block")
    verdict = waf.check("GET", "/?file=../../etc/passwd", [("Host", "shop.example")])
    if verdict.blocked:
        print(verdict.status, verdict.rule_ids)

In front of a web application:

    application = smesec.wsgi.Middleware(application)     # Django, Flask, every WSGI application
    application = smesec.asgi.Middleware(application)     # FastAPI, Starlette, Django, every ASGI application

Rules and engines: a `RuleSet` is compiled once, shared and pickled; a `Waf` serves all threads, and the
children of a fork; an `Exclusion` takes rules away from some requests. A `Transaction` goes step by step
where bodies come in pieces or the response is inspected too. A `Filter` is a part of your own, a
`Chain` several parts as one; uploads go to a scanner of yours, which answers with a `ScanReport`, or piece by piece to
an intake of yours (`IntakeLike`).

Events are dicts in the JSON form v1 (`smesec.frames` makes data frames of them). They go into a sink: a
`Queue`, a `Tee`, a `LogSink`, a `DetectorSink` in front of a detector of yours, or any callable.

Logs: `smesec.siem` has an engine over Sigma rules and correlations, for bytes, mappings and Arrow's tables. Tests: `smesec.taas` runs files in Tavern's format and
audits an API; `pytest` collects `*.tavern.yaml` through `smesec.pytest_plugin`.

State between transactions lives in a `MemoryStore`, or in a `SharedStore` that workers share.

Units: times are nanoseconds since 1970 UTC, as `time.time_ns()` gives them, unless said otherwise; sizes are bytes.
Other threads run while rules are compiled, requests are checked and objects scanned. Nothing here starts a
thread or opens a file that you did not name.

Errors are `SmesecError` and its kinds; each has `.code` (the number that the C face has too), and
`.file`, `.line` and `.column` where there is a place (else None). What a callback of yours raises is told
through `sys.unraisablehook` and in a finding `smesec-callback`, and a policy decides: closed unless you say open.
"""

import importlib as _importlib
import os as _os
from typing import Any as _Any

from . import _native
from ._log import LogSink
from ._native import (
    Chain,
    ConfigError,
    Connection,
    DetectorSink,
    Exclusion,
    Filter,
    InputError,
    LimitError,
    MemoryStore,
    Outcome,
    PhaseError,
    Queue,
    RequestHead,
    ResponseHead,
    RuleError,
    RuleSet,
    ScanObject,
    ScanReport,
    SharedStore,
    SmesecError,
    Tee,
    Transaction,
    Verdict,
    Waf,
    Work,
    __version__,
)
from ._parts import (
    DetectorLike,
    FilterLike,
    FilterTransaction,
    IntakeLike,
    ScannerLike,
    StoreLike,
    UploadLike,
    finding,
)
from ._settings import Settings

# Parent and children of a fork must not give the same event ids.
_os.register_at_fork(after_in_child=_native._after_fork)

__all__ = [
    "Chain",
    "ConfigError",
    "Connection",
    "DetectorLike",
    "DetectorSink",
    "Exclusion",
    "Filter",
    "FilterLike",
    "FilterTransaction",
    "InputError",
    "IntakeLike",
    "LimitError",
    "LogSink",
    "MemoryStore",
    "Outcome",
    "PhaseError",
    "Queue",
    "RequestHead",
    "ResponseHead",
    "RuleError",
    "RuleSet",
    "ScanObject",
    "ScanReport",
    "ScannerLike",
    "Settings",
    "SharedStore",
    "SmesecError",
    "StoreLike",
    "Tee",
    "Transaction",
    "UploadLike",
    "Verdict",
    "Waf",
    "Work",
    "__version__",
    "finding",
]


def __getattr__(name: str) -> _Any:
    """`smesec.wsgi`, `smesec.siem` and the other modules, loaded when they are first named."""
    if name in ("asgi", "frames", "siem", "taas", "wsgi"):
        return _importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

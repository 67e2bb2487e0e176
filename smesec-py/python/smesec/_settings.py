"""Settings of a firewall in front of an application, as one value."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from ._native import ConfigError, Exclusion, InputError, MemoryStore, RuleSet, SharedStore, Waf

if TYPE_CHECKING:
    from ._native import ScanObject, ScanReport, _Refused
    from ._parts import IntakeLike, ScannerLike, StoreLike

logger = logging.getLogger("smesec")

_WORDS: dict[str, tuple[str, ...]] = {
    "mode": ("rules", "block", "detect", "off"),
    "on_block": ("deny", "decoy", "log"),
    "on_limit": ("closed", "open"),
    "on_error": ("closed", "open"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a firewall does, and how a middleware uses it. A wrong value raises `ConfigError` at once.

    The firewall:

    - `rules`: SecLang files, in order, or the path of one; the built-in pack where there is none. A file that cannot be read and
      files without a single rule are errors; a rule that is refused is a warning of the logger `smesec`.
    - `paranoia`: 1 to 4, of CRS and of the built-in pack; what the rules say where it is None.
    - `strict`: whether a rule that cannot be loaded is an error.
    - `mode`: "block" enforces whatever the rules say, since who puts a firewall in front means it; "rules" leaves it to
      `SecRuleEngine`; "detect" only reports; "off" inspects nothing.
    - `on_block`: what a block becomes: "deny", "decoy" or "log".
    - `on_limit`: what happens to what could not be inspected whole: "closed", since a limit that lets pass is a
      bypass, or "open".
    - `steps`: values that rules may look at in one transaction; 50 million are some seconds of CPU.
    - `exclusions`: rules taken away from some requests.
    - `store`: where collections live; each process's own memory where it is None, a `SharedStore` for several workers.
    - `scanner`: who examines uploads; `spool_bytes`: how many bytes of one transaction's uploads are kept in memory
      for it (32 MiB, above the usual upload limit of a shop). `intake`: who takes them piece by piece instead.

    The middleware:

    - `trusted_proxies`: addresses and networks, or one of them, whose `X-Forwarded-For` is believed, from the right; "unix" for clients
      of a socket file.
    - `log_only`: everything passes and is reported, for the first days in front of a site.
    - `on_error`: what is done where the firewall itself fails: "closed" answers 500, "open" lets pass.
    - `memory_bytes`: bytes of a held body that stay in memory (1 MiB, most forms and JSON); more goes to a temporary file.
    - `thread_bytes`: from how many bytes of a body on the ASGI middleware inspects in a thread, so that its event loop goes
      on (4 KiB: one long field of that size takes as long as the way to a thread, under a tenth of a millisecond, and many short
      ones three times that; at 64 KiB they would hold the loop for 14 ms).
    """

    rules: Sequence[str | PathLike[str]] | str | PathLike[str] = ()
    paranoia: int | None = None
    strict: bool = False
    mode: Literal["rules", "block", "detect", "off"] = "block"
    on_block: Literal["deny", "decoy", "log"] = "deny"
    on_limit: Literal["closed", "open"] = "closed"
    steps: int = 50_000_000
    exclusions: Sequence[Exclusion] = ()
    store: MemoryStore | SharedStore | StoreLike | None = None
    scanner: ScannerLike | Callable[[ScanObject], ScanReport] | None = None
    spool_bytes: int = 32 << 20
    intake: IntakeLike | None = None
    trusted_proxies: Sequence[str] | str = ()
    log_only: bool = False
    on_error: Literal["closed", "open"] = "closed"
    memory_bytes: int = 1 << 20
    thread_bytes: int = 4 << 10

    def __post_init__(self) -> None:
        # One text is a sequence of letters too.
        for name in ("rules", "trusted_proxies"):
            given = getattr(self, name)
            if isinstance(given, (str, PathLike)):
                object.__setattr__(self, name, (given,))
        self._check_lists()
        for name in ("strict", "log_only"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(f"{name} `{getattr(self, name)}` is neither True nor False")
        for name in ("steps", "spool_bytes", "memory_bytes", "thread_bytes"):
            if not _is_count(getattr(self, name)) or getattr(self, name) < 0:
                raise _wrong(f"{name} `{getattr(self, name)}` is no count; write a whole number of 0 or more")
        if self.paranoia is not None and not (_is_count(self.paranoia) and 1 <= self.paranoia <= 4):
            raise _wrong(f"paranoia level `{self.paranoia}` is unknown; write 1 to 4")
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise _wrong(f"{name} `{getattr(self, name)}` is unknown; write {' or '.join(words)}")
        self._check_parts()

    def _check_lists(self) -> None:
        for path in _items("rules", self.rules):
            if not isinstance(path, (str, PathLike)):
                raise _wrong(f"rules: `{path}` is no path; write the paths of SecLang files")
        for network in _items("trusted_proxies", self.trusted_proxies):
            if network != "unix" and not _is_network(network):
                raise _wrong(
                    f"trusted_proxies: `{network}` is neither an address nor a network without host bits; write text such "
                    "as `10.0.0.0/8`, or `unix`"
                )
        for exclusion in _items("exclusions", self.exclusions):
            if not isinstance(exclusion, Exclusion):
                raise _wrong(f"exclusions: `{exclusion}` is none; write `smesec.Exclusion(...)`")

    def _check_parts(self) -> None:
        if self.scanner is not None and not callable(self.scanner) and not hasattr(self.scanner, "scan"):
            raise _wrong(f"scanner `{self.scanner}` is none: it has no `scan` and cannot be called")
        if self.intake is not None and not hasattr(self.intake, "open"):
            raise _wrong(f"intake `{self.intake}` is none: it has no `open`")
        own = isinstance(self.store, (MemoryStore, SharedStore))
        if self.store is not None and not own and not hasattr(self.store, "load"):
            raise _wrong(f"store `{self.store}` is none: it has no `load`")

    def ruleset(self) -> RuleSet:
        """Compiles the rules, and tells the logger `smesec` which were refused.

        Raises `ConfigError` where a file cannot be read and where no rule was loaded at all, `RuleError` where `strict` finds a
        rule that cannot be loaded.
        """
        if not self.rules:
            return RuleSet.builtin(paranoia=self.paranoia)
        paths = _items("rules", self.rules)
        try:
            ruleset = RuleSet.from_path(*paths, paranoia=self.paranoia, strict=self.strict)
        except InputError as error:
            raise _wrong(f"rules: {error}") from None
        report = ruleset.report
        for refused in report["refused"]:
            logger.warning("a rule is not in force: %s", _told(refused))
        for degraded in report["degraded"]:
            logger.info("a rule does less than it says: %s", _told(degraded))
        if not report["loaded"]:
            first = f"; the first that was refused: {_told(report['refused'][0])}" if report["refused"] else ""
            raise _wrong(f"rules: no rule was loaded of {', '.join(map(str, paths))}{first}")
        return ruleset

    def waf(self, *, ruleset: RuleSet | None = None, sink: Callable[[dict[str, Any]], object] | None = None) -> Waf:
        """A firewall by these settings, over `ruleset` if given; its events go to `sink`."""
        return Waf(
            ruleset if ruleset is not None else self.ruleset(),
            mode="detect" if self.log_only and self.mode == "block" else self.mode,
            on_block=self.on_block,
            on_limit=self.on_limit,
            steps=self.steps,
            exclusions=list(self.exclusions),
            store=self.store,
            scanner=self.scanner,
            spool_bytes=self.spool_bytes,
            intake=self.intake,
            sink=sink,
        )


def _items(name: str, given: Any) -> Sequence[Any]:
    if isinstance(given, bytes) or not isinstance(given, Sequence):
        raise _wrong(f"{name} `{given!r}` is no list")
    return given


def _is_network(given: object) -> bool:
    # `ip_network` takes numbers too.
    if not isinstance(given, str):
        return False
    try:
        ipaddress.ip_network(given)
    except ValueError:
        return False
    return True


def _is_count(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)


def _told(rule: _Refused) -> str:
    name = f"rule `{rule['rule']}`: " if rule["rule"] else ""
    return f"{rule['file']}:{rule['line']}:{rule['column']}: {name}{rule['why']}"


def _wrong(why: str) -> ConfigError:
    error = ConfigError(why)
    error.code, error.file, error.line, error.column = 11, None, None, None
    return error

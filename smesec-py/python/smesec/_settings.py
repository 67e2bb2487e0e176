"""Settings of a firewall in front of an application, as one value."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from ._native import ConfigError, Exclusion, MemoryStore, RuleSet, SharedStore, Waf

if TYPE_CHECKING:
    from ._native import ScanObject, ScanReport
    from ._parts import IntakeLike, ScannerLike, StoreLike


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a firewall does, and how a middleware uses it. A wrong value raises `ConfigError` at once.

    The firewall:

    - `rules`: SecLang files, in order; the built-in pack where there is none.
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

    - `trusted_proxies`: addresses and networks whose `X-Forwarded-For` is believed, from the right; "unix" for clients
      of a socket file.
    - `log_only`: everything passes and is reported, for the first days in front of a site.
    - `on_error`: what is done where the firewall itself fails: "closed" answers 500, "open" lets pass.
    - `memory_bytes`: bytes of a held body that stay in memory (1 MiB, most forms and JSON); more goes to a temporary file.
    - `thread_bytes`: from how many bytes of a body on the ASGI middleware inspects in a thread, so that its event loop goes
      on (64 KiB; below, the way to a thread costs more than the inspection).
    """

    rules: Sequence[str | PathLike[str]] = ()
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
    trusted_proxies: Sequence[str] = ()
    log_only: bool = False
    on_error: Literal["closed", "open"] = "closed"
    memory_bytes: int = 1 << 20
    thread_bytes: int = 64 << 10

    def __post_init__(self) -> None:
        for network in self.trusted_proxies:
            if network == "unix":
                continue
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise _wrong(f"trusted_proxies: {error}; write an address, a network or `unix`") from None
        for name in ("steps", "spool_bytes", "memory_bytes", "thread_bytes"):
            if getattr(self, name) < 0:
                raise _wrong(f"`{name}` is below 0; write a count of 0 or more")
        known: dict[str, tuple[str, ...]] = {
            "mode": ("rules", "block", "detect", "off"),
            "on_block": ("deny", "decoy", "log"),
            "on_limit": ("closed", "open"),
            "on_error": ("closed", "open"),
        }
        for name, words in known.items():
            if getattr(self, name) not in words:
                raise _wrong(f"{name} `{getattr(self, name)}` is unknown; write {' or '.join(words)}")

    def ruleset(self) -> RuleSet:
        """Compiles the rules. Raises `RuleError` where `strict` finds one that cannot be loaded."""
        if not self.rules:
            return RuleSet.builtin(paranoia=self.paranoia)
        return RuleSet.from_path(*self.rules, paranoia=self.paranoia, strict=self.strict)

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


def _wrong(why: str) -> ConfigError:
    error = ConfigError(why)
    error.code, error.file, error.line, error.column = 11, None, None, None
    return error

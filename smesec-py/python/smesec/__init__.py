"""Security engines that run inside your own process.

A web application firewall first: unmodified OWASP Core Rule Set, or the built-in pack.

    import smesec

    waf = smesec.Waf(smesec.RuleSet.builtin(), mode="block")
    verdict = waf.check("GET", "/?file=../../etc/passwd", [("Host", "shop.example")])
    if verdict.blocked:
        print(verdict.status, verdict.rule_ids)

A `RuleSet` is compiled once and shared; a `Waf` serves all threads; a `Transaction` goes step by step
where bodies come in pieces or the response is inspected too. Other threads run while rules are compiled
and requests are checked. Nothing here starts a thread or opens a file that you did not name.

Errors are `SmesecError` and its kinds; each has `.code` (the number that the C face has too), and
`.file`, `.line` and `.column` where there is a place (else None).
"""

from ._native import (
    ConfigError,
    InputError,
    LimitError,
    PhaseError,
    RuleError,
    RuleSet,
    SmesecError,
    Transaction,
    Verdict,
    Waf,
    __version__,
)

__all__ = [
    "ConfigError",
    "InputError",
    "LimitError",
    "PhaseError",
    "RuleError",
    "RuleSet",
    "SmesecError",
    "Transaction",
    "Verdict",
    "Waf",
    "__version__",
]

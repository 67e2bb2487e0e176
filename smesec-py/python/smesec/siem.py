"""Detection over logs: Sigma rules on single records, and correlation of what they find.

    from smesec import siem

    engine = siem.Engine(siem.RuleSet.from_path("rules/"))
    for piece in pieces_of("/var/log/auth.log"):
        for told in engine.feed(piece, origin="auth.log"):
            print(told["kind"], told["title"])
    for told in engine.finish():
        print(told["message"])

Records that are mappings already go through `engine.match(records)`, and so do tables of pyarrow, pandas or polars, by Arrow's C
data interface. `engine.process(table)` answers with a `pyarrow.Table`:

    found = engine.process(pyarrow.parquet.read_table("events.parquet"))
"""

from ._native import SiemEngine as Engine
from ._native import SiemRuleSet as RuleSet

__all__ = ["Engine", "RuleSet"]

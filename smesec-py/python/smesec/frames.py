"""Events and findings in logs as data frames: `pip install smesec[pandas]` or `smesec[arrow]`.

One row an event, one column a field of the JSON form v1; times in UTC to the nanosecond, `action` and `status` apart,
addresses and ports apart, `rule_ids` and `messages` of the findings as lists, findings and extra fields as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

__all__ = ["found_to_arrow", "to_arrow", "to_pandas", "to_records"]

_TEXTS = ("id", "detector", "user", "device", "entity", "transaction_id", "message", "raw")
_NUMBERS = ("schema_version", "class_uid", "activity_id", "severity_id", "risk", "generation")


def to_records(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """A flat dict for each event, all with the same keys; times stay nanoseconds since 1970 UTC."""
    return [_record(event) for event in events]


def _record(event: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"time": event["time"], "ingest_time": event["ingest_time"]}
    record |= {name: event.get(name) for name in (*_TEXTS, *_NUMBERS)}
    action = event["action"]
    word, details = next(iter(action.items())) if isinstance(action, dict) else (action, {})
    record |= {"action": word, "status": details.get("status")}
    for side in ("src", "dst"):
        address, _, port = (event.get(f"{side}_endpoint") or "").rpartition(":")
        record[f"{side}_ip"] = address.strip("[]") or None
        record[f"{side}_port"] = int(port) if port else None
    findings = event["findings"]
    record["rule_ids"] = [finding["rule"]["id"] for finding in findings]
    record["messages"] = [finding["message"] for finding in findings]
    record["attack"] = list(event.get("attack", ()))
    record["findings"] = json.dumps(findings)
    record["extra"] = json.dumps(event.get("extra", {}))
    return record


def to_arrow(events: Iterable[dict[str, Any]]) -> Any:
    """A `pyarrow.Table` whose columns have the same types for any events, none included."""
    import pyarrow as pa  # type: ignore[import-untyped, import-not-found, unused-ignore]

    time, text, texts = pa.timestamp("ns", tz="UTC"), pa.string(), pa.list_(pa.string())
    kinds: dict[str, Any] = {"time": time, "ingest_time": time}
    kinds |= dict.fromkeys(_TEXTS, text) | dict.fromkeys(_NUMBERS, pa.int64())
    kinds |= {"action": text, "status": pa.int64(), "src_ip": text, "src_port": pa.int64()}
    kinds |= {"dst_ip": text, "dst_port": pa.int64(), "rule_ids": texts, "messages": texts, "attack": texts}
    kinds |= {"findings": text, "extra": text}
    return pa.Table.from_pylist(to_records(events), schema=pa.schema(list(kinds.items())))


def found_to_arrow(found: Iterable[dict[str, Any]]) -> Any:
    """What a `smesec.siem.Engine` told as a `pyarrow.Table`: a row for each detection and each alarm.

    The columns are the keys of both, null where a kind has none: times in UTC to the nanosecond, `tags` as lists, `fields` and
    `group` as JSON text. The types are the same for any findings, none included.
    """
    import pyarrow as pa

    time, text = pa.timestamp("ns", tz="UTC"), pa.string()
    kinds: dict[str, Any] = dict.fromkeys(("kind", "rule_id", "title", "author", "level"), text)
    kinds |= {"tags": pa.list_(text), "origin": text, "record_id": pa.uint64(), "time": time, "fields": text}
    kinds |= dict.fromkeys(("change", "about", "id", "severity"), text)
    kinds |= {"start": time, "count": pa.uint64(), "figure": pa.float64(), "group": text}
    kinds |= {"risk": pa.int64(), "message": text}
    columns: dict[str, list[Any]] = {name: [] for name in kinds}
    for one in found:
        for name, column in columns.items():
            value = one.get(name)
            column.append(json.dumps(value) if name in ("fields", "group") and value is not None else value)
    arrays = [pa.array(columns[name], kind) for name, kind in kinds.items()]
    return pa.Table.from_arrays(arrays, names=list(kinds))


def to_pandas(events: Iterable[dict[str, Any]]) -> Any:
    """A `pandas.DataFrame` with the event's time as its index."""
    import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]

    records = to_records(events)
    columns = list(_record({"time": 0, "ingest_time": 0, "action": "pass", "findings": []}))
    frame = pd.DataFrame.from_records(records, columns=columns)
    for name in ("time", "ingest_time"):
        frame[name] = pd.to_datetime(frame[name], unit="ns", utc=True)
    for name in (*_NUMBERS, "status", "src_port", "dst_port"):
        frame[name] = frame[name].astype("Int64")
    return frame.set_index("time")

"""Alias tables: which exporter's metric is which signal of the vocabulary. One YAML per exporter, shipped or the user's.

A rule takes the series of one metric name and gives samples of one signal::

    - signal: request_total_ms          # a name of the vocabulary
      metrics: [kafka_network_requestmetrics_totaltimems]   # the first of these that the scrape has
      kind: gauge                       # gauge | counter | ratio | mean
      where: {quantile: ["0.5", "0.99"]}   # label: value, list of values, "!value", "/regex/", or null (label absent)
      labels: {request: request}        # signal's label: exporter's label; all others are summed away
      set: {quantile: "0.99"}           # labels that are always set
      scale: 1000                       # exporter's unit → the vocabulary's
      count: [..._count]                # this counter must have moved since the last scrape

Metric names are compared in lower case, label names without ``_``, ``-`` and case (``client_id`` is ``clientId``).
``counter`` gives a rate per second; ``ratio`` divides by the sum of ``per``; ``mean`` is the growth of the metric over
the growth of ``per`` (a histogram's mean since the last scrape). ``combine`` says how series that fall together are
combined: ``sum``, ``max``, ``min`` or ``mean``. A rule with ``fallback`` is used only where no rule before it for the
same signal found its metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from kroute.contracts.common import Name
from kroute.errors import BadFile
from kroute.files import load_yaml

Wanted = str | tuple[str, ...] | None


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of an alias table; the module's docstring describes the fields."""

    signal: Name
    metrics: Annotated[tuple[str, ...], Meta(min_length=1)]
    kind: Literal["gauge", "counter", "ratio", "mean"] = "gauge"
    where: dict[str, Wanted] = {}
    labels: dict[str, str] = {}
    set: dict[str, str] = {}
    scale: float = 1.0
    max: float | None = None
    combine: Literal["sum", "max", "min", "mean"] = "sum"
    count: tuple[str, ...] = ()
    per: tuple[str, ...] = ()
    per_where: dict[str, Wanted] = {}
    per_cpu: bool = False
    positive: bool = False
    fallback: bool = False

    def __post_init__(self) -> None:
        if (self.kind in ("ratio", "mean")) != bool(self.per):
            raise ValueError("'per' goes with kind ratio or mean, and with no other")
        for value in (*self.where.values(), *self.per_where.values()):
            if isinstance(value, str) and value.startswith("/"):
                try:
                    re.compile(value.strip("/"))
                except re.error as e:
                    raise ValueError(f"{value} is not a regular expression: {e}") from None


class AliasFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One alias table. ``include``: shipped tables read after it; ``platform``: what such a source is (``automq``)."""

    rules: tuple[Rule, ...] = ()
    include: tuple[str, ...] = ()
    platform: str | None = None


class Aliases(Struct, frozen=True):
    """Tables put together: rules in order of preference, and the platform they imply."""

    rules: tuple[Rule, ...]
    platform: str | None


def shipped() -> tuple[str, ...]:
    """Names of the alias tables that come with kroute."""
    folder = resources.files("kroute.collect") / "aliases"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_aliases(names: str | Iterable[str], folder: Path | None = None) -> Aliases:
    """Tables by name (shipped) or by file (ending in ``.yaml``, relative to ``folder``), with what they include.

    Raises:
        BadFile: an unknown name, or a table with a mistake.
    """
    todo = [names] if isinstance(names, str) else list(names)
    seen: dict[str, None] = {}
    rules: list[Rule] = []
    platform: str | None = None
    while todo:
        name = todo.pop(0)
        if name in seen:
            continue
        seen[name] = None
        table = _file(str((folder or Path()) / name)) if name.endswith(".yaml") else _shipped(name)
        rules += table.rules
        platform = platform or table.platform
        todo += table.include
    return Aliases(tuple(rules), platform)


@cache
def _shipped(name: str) -> AliasFile:
    if name not in shipped():
        raise BadFile(
            f"aliases/{name}.yaml",
            None,
            "aliases",
            f"no such table; shipped are {', '.join(shipped())}; a file of your own ends in .yaml",
        )
    text = (resources.files("kroute.collect") / "aliases" / f"{name}.yaml").read_text(encoding="utf-8")
    return load_yaml(f"aliases/{name}.yaml", AliasFile, text)


def _file(path: str) -> AliasFile:
    return load_yaml(path, AliasFile)

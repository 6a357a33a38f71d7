"""A Prometheus exposition to samples of the vocabulary, by alias rules; counters become rates here.

Only lines of metrics that a rule names are parsed: a broker exposes tens of thousands of series, of which few are used.
A sample is left out where it cannot be told: a counter's first scrape, a counter that went back (the process was
restarted), a quantile without new events, a ratio over nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from kroute.collect.aliases import Rule, Wanted
from kroute.contracts.inputs import Sample
from kroute.errors import SourceUnreachable

Labels = tuple[tuple[str, str], ...]
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_QUANTILE = re.compile(r"^0?\.\d+$|^1(\.0*)?$")


class Series(NamedTuple):
    """One series of a scrape; label names are normalised, see ``plain``."""

    labels: Mapping[str, str]
    key: Labels
    value: float


Scrape = dict[str, list[Series]]
"""Series by metric name in lower case."""


def plain(label: str) -> str:
    """``clientId``, ``client_id``, ``client-id`` → ``clientid``: exporters differ in nothing else."""
    return label.replace("_", "").replace("-", "").lower()


class Translator:
    """Turns scrapes of one process into samples; keeps the last scrape's counters, nothing else."""

    def __init__(self, rules: Iterable[Rule], *, cpus: float | None = None) -> None:
        self._rules = tuple(r for r in rules if cpus is not None or not r.per_cpu)
        self._cpus = cpus
        self._wanted = frozenset(m.lower() for r in self._rules for m in (*r.metrics, *r.count, *r.per))
        self._moving = frozenset(
            m.lower()
            for r in self._rules
            for m in (*(r.metrics if r.kind in ("counter", "mean") else ()), *r.count, *(r.per if r.kind == "mean" else ()))
        )
        self._before: dict[str, dict[Labels, float]] = {}
        self._before_s: float | None = None

    def samples(self, text: str, at_s: float) -> list[Sample]:
        """Samples of one scrape taken at ``at_s`` (monotonic seconds), sorted by signal and labels.

        Raises:
            SourceUnreachable: the text is not a Prometheus exposition.
        """
        scrape = self._parse(text)
        out: dict[tuple[str, Labels], float] = {}
        found: set[str] = set()
        for rule in self._rules:
            if rule.fallback and rule.signal in found:
                continue
            series = _first(scrape, rule.metrics, rule.where)
            if not series:
                continue
            found.add(rule.signal)
            for labels, value in self._values(rule, series, scrape, at_s).items():
                number = value * rule.scale
                if math.isfinite(number) and not (rule.positive and number <= 0):
                    out.setdefault((rule.signal, labels), number if rule.max is None else min(number, rule.max))
        self._before = {m: {s.key: s.value for s in scrape[m]} for m in self._moving if m in scrape}
        self._before_s = at_s
        return [Sample(signal=s, value=v, labels=dict(labels) or None) for (s, labels), v in sorted(out.items())]

    def forget(self) -> None:
        """Drop the last scrape: after a gap a rate over it would be told as of now."""
        self._before, self._before_s = {}, None

    # -- one rule --------------------------------------------------------------------------------------------

    def _values(self, rule: Rule, series: tuple[str, list[Series]], scrape: Scrape, at_s: float) -> dict[Labels, float]:
        name, rows = series
        if rule.count:
            rows = self._moved(rule, rows, scrape)
        if rule.kind == "gauge":
            return {k: _combine(rule.combine, vs) for k, vs in _grouped(rule, [(s, s.value) for s in rows]).items() if vs}
        if rule.kind == "counter":
            seconds = at_s - self._before_s if self._before_s is not None else 0.0
            if seconds <= 0:
                return {}
            per = seconds * (self._cpus or 1.0 if rule.per_cpu else 1.0)
            return {k: _combine(rule.combine, vs) / per for k, vs in _grouped(rule, self._growth(name, rows)).items() if vs}
        below = _first(scrape, rule.per, rule.per_where)
        if below is None:
            return {}
        if rule.kind == "ratio":
            total = _grouped(rule, [(s, s.value) for s in below[1]])
            tops = _grouped(rule, [(s, s.value) for s in rows])
        else:
            total = _grouped(rule, self._growth(below[0], below[1]))
            tops = _grouped(rule, self._growth(name, rows))
        return {
            k: math.fsum(vs) / math.fsum(total[k]) for k, vs in tops.items() if vs and total.get(k) and math.fsum(total[k]) > 0
        }

    def _growth(self, name: str, rows: list[Series]) -> list[tuple[Series, float | None]]:
        """Growth of each counter since the last scrape; None where it went back. New series say nothing yet."""
        before = self._before.get(name, {})
        return [(s, None if s.value < before[s.key] else s.value - before[s.key]) for s in rows if s.key in before]

    def _moved(self, rule: Rule, rows: list[Series], scrape: Scrape) -> list[Series]:
        counts = _first(scrape, rule.count, {})
        if counts is None:
            return []
        grown = [s for s, by in self._growth(*counts) if by]
        # Count and quantile may differ in labels (a count per version): those that both have must agree.
        by_names: dict[frozenset[str], set[Labels]] = {}
        names = frozenset(k for s in counts[1] for k in s.labels)
        out = []
        for s in rows:
            shared = names & s.labels.keys() - {"quantile"}
            if shared not in by_names:
                by_names[shared] = {tuple(kv for kv in g.key if kv[0] in shared) for g in grown}
            if tuple(kv for kv in s.key if kv[0] in shared) in by_names[shared]:
                out.append(s)
        return out

    # -- text ------------------------------------------------------------------------------------------------

    def _parse(self, text: str) -> Scrape:
        lines = [line for line in text.splitlines() if self._used(line)]
        out: Scrape = {}
        try:
            for family in text_string_to_metric_families("\n".join(lines) + "\n"):
                for s in family.samples:
                    labels = {plain(k): v for k, v in s.labels.items()}
                    if "quantile" in labels:
                        labels["quantile"] = quantile(labels["quantile"])
                    out.setdefault(s.name.lower(), []).append(Series(labels, tuple(sorted(labels.items())), s.value))
        except (ValueError, KeyError, IndexError, OverflowError) as e:
            raise SourceUnreachable(f"not a Prometheus exposition: {e}") from None
        return out

    def _used(self, line: str) -> bool:
        found = _NAME.match(line)
        return found is not None and found.group().lower() in self._wanted


def quantile(text: str) -> str:
    """``0.50`` → ``0.5``: one spelling for all exporters."""
    return f"{float(text):g}" if _QUANTILE.match(text) else text


def looks_like_exposition(text: str) -> bool:
    """False for a login page, an empty answer or JSON: no line of it is a sample or a comment of the format."""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        found = _NAME.match(line)
        return found is not None and line[found.end() : found.end() + 1] in ("{", " ", "\t")
    return False


def _first(scrape: Scrape, metrics: Iterable[str], where: Mapping[str, Wanted]) -> tuple[str, list[Series]] | None:
    for metric in metrics:
        rows = scrape.get(metric.lower())
        if rows and where:
            tests = [(plain(k), v) for k, v in where.items()]
            rows = [s for s in rows if all(_matches(s.labels.get(k), v) for k, v in tests)]
        if rows:
            return metric.lower(), rows
    return None


def _matches(have: str | None, want: Wanted) -> bool:
    if want is None:
        return have is None or have == ""
    if isinstance(want, tuple):
        return have in want
    if want.startswith("!"):
        return have != want[1:]
    if want.startswith("/"):
        return have is not None and re.fullmatch(want.strip("/"), have) is not None
    return have == want


def _grouped(rule: Rule, rows: Iterable[tuple[Series, float | None]]) -> dict[Labels, list[float]]:
    """Values by the signal's labels; a group with a counter that went back is empty, so it gives no sample."""
    out: dict[Labels, list[float]] = {}
    back: set[Labels] = set()
    for s, value in rows:
        labels = dict(rule.set)
        for name, theirs in rule.labels.items():
            text = s.labels.get(plain(theirs))
            if text:
                labels[name] = text
        key = tuple(sorted(labels.items()))
        if value is None:
            back.add(key)
        elif not math.isnan(value):
            out.setdefault(key, []).append(value)
    return {k: [] if k in back else vs for k, vs in out.items()}


def _combine(how: str, values: list[float]) -> float:
    if how == "max":
        return max(values)
    if how == "min":
        return min(values)
    total = math.fsum(values)
    return total / len(values) if how == "mean" else total

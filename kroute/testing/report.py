"""Results as people read them, and as JUnit XML for CI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element, SubElement, tostring

from kroute.testing.run import Result
from kroute.testing.series import clock

_MARK = {"ok": "  ok ", "missing": "  -  ", "extra": "  +  ", "wrong": "  !  ", "other": "     "}


def text(result: Result, *, verbose: bool = False) -> Iterator[str]:
    """Lines about one case: one when it passed; the time axis when it failed (``verbose``: always, with all alerts).

    ``-`` was expected and did not come, ``+`` came and was not expected, ``!`` stands otherwise than it should.
    """
    case = result.case
    yield f"{result.outcome:<10} {case.place.file}  ({result.seconds:.1f} s)"
    if result.outcome == "known gap":
        yield f"           {case.spec.known_gap}"
    if result.outcome == "gap closed":
        yield "           passes: take known_gap out of the file"
    if not verbose and result.outcome != "failed":
        return
    yield f"           {case.spec.about}"
    for p in result.problems:
        yield f"  !  {p}"
    for s in result.lines:
        if s.mark == "other" and not verbose:
            continue
        yield f"{_MARK[s.mark]}{clock(s.ms):>9}  {s.text}"
        for d in s.details:
            yield f"                 {d}"


def summary(results: list[Result]) -> str:
    """``3 passed, 1 failed``."""
    counts: dict[str, int] = {}
    for r in results:
        counts[r.outcome] = counts.get(r.outcome, 0) + 1
    return ", ".join(f"{n} {word}" for word, n in counts.items()) or "no cases"


def junit(results: Iterable[Result]) -> bytes:
    """JUnit XML: a test case per file; a known gap is ``skipped``."""
    results = list(results)
    suite = Element(
        "testsuite",
        name="kroute test",
        tests=str(len(results)),
        failures=str(sum(not r.ok for r in results)),
        skipped=str(sum(r.outcome == "known gap" for r in results)),
        time=f"{sum(r.seconds for r in results):.3f}",
    )
    for r in results:
        item = SubElement(suite, "testcase", classname="kroute", name=_xml(r.case.place.file), time=f"{r.seconds:.3f}")
        if not r.ok:
            SubElement(item, "failure", message=_xml(r.case.spec.about)).text = _xml("\n".join(text(r)))
        elif r.outcome == "known gap":
            SubElement(item, "skipped", message=_xml(r.case.spec.known_gap or ""))
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + tostring(suite)


def _xml(words: str) -> str:
    """Without the characters that XML cannot hold: names in alerts come from strangers."""
    return "".join(c for c in words if c in "\t\n\r" or (ord(c) >= 0x20 and not 0xD800 <= ord(c) <= 0xDFFF and ord(c) < 0xFFFE))

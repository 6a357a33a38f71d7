"""Grouping, calibration and the sums over a corpus, against values worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kroute.contracts.alerts import Alert
from kroute.score.baselines import BASELINES, Pages
from kroute.score.calibration import calibration
from kroute.score.grouping import Grouping, grouping
from kroute.score.run import Scored
from kroute.score.summary import NO_FAULT, NONE, Report, share, spread, summarize
from kroute.score.thresholds import TUNINGS
from kroute.score.truth import Benign, Truth
from tests.unit.score.world import alert, fault, measured, ms, owners, truth

SLOW = ("slow-consumer", "group/g", 0.9)
LAG = (("group/g", "lag-growing", 610.0),)


def test_pairs_and_b_cubed_of_a_known_grouping() -> None:
    g = grouping([1, 1, 1, 2, 2], ["a", "a", "b", "b", "b"])
    assert (g.together_both, g.together_said, g.together_true) == (2, 4, 4)
    assert g.pair_f1 == 0.5
    assert g.precision_sum == pytest.approx(2 / 3 + 2 / 3 + 1 / 3 + 1 + 1)
    assert g.recall_sum == pytest.approx(1 + 1 + 1 / 3 + 2 / 3 + 2 / 3)
    assert g.bcubed_f1 == pytest.approx(11 / 15)


def test_nothing_to_group_has_no_value() -> None:
    assert (Grouping().pair_f1, Grouping().bcubed_f1) == (None, None)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_precision_of_one_grouping_is_recall_of_the_other(labels: list[tuple[int, int]]) -> None:
    said, true = [a for a, _ in labels], [b for _, b in labels]
    g, h = grouping(said, true), grouping(true, said)
    assert g.precision_sum == pytest.approx(h.recall_sum)
    assert g.pair_f1 == h.pair_f1
    assert grouping(said, said).bcubed_f1 == pytest.approx(1.0)


def test_calibration_of_known_answers() -> None:
    c = calibration([(0.95, True), (0.85, True), (0.85, False), (1.0, True), (0.2, False)])
    assert [(b.low, b.count) for b in c.bins] == [(0.2, 1), (0.8, 2), (0.9, 2)]
    assert c.ece == pytest.approx((0.2 + 2 * 0.35 + 2 * 0.025) / 5)
    assert c.brier == pytest.approx((0.05**2 + 0.15**2 + 0.85**2 + 0 + 0.2**2) / 5)
    assert calibration([]).ece is None


def test_a_share_has_wilsons_bounds() -> None:
    s = share([True] * 8 + [False] * 2)
    assert (s.right, s.of, s.share) == (8, 10, 0.8)
    assert s.low == pytest.approx(0.490, abs=1e-3)
    assert s.high == pytest.approx(0.943, abs=1e-3)
    assert share([]).share is None


def test_a_spread_has_median_and_ninetieth_percentile() -> None:
    s = spread([10.0 * n for n in range(11)])
    assert (s.count, s.median, s.p90, s.largest) == (11, 50, 90, 100)
    assert spread([7.0]).p90 == 7
    assert spread([]).median is None


def scored(name: str, t: Truth, *alerts: Alert) -> Scored:
    """Half a day each; the baselines page every fault twice, and first to the right team at the second tuning only."""
    n = len(t.faults)
    each = tuple(Pages(faults=n, paged=n, first_right=n if i == 1 else 0, pages=2 * n) for i in range(len(TUNINGS)))
    return Scored(
        recording=name, platform=t.platform, benign=(), spans_s=43_200, measured=measured(t, *alerts, name=name),
        baselines=dict.fromkeys(BASELINES, each),
    )  # fmt: skip


def corpus() -> Report:
    f = fault("slow-consumer", "group/g")
    return summarize(
        [
            scored("right", truth(f), alert("i", 660, SLOW, symptoms=LAG, routes=owners(page=True))),
            scored("wrong", truth(f, platform="automq"), alert("i", 690, ("unknown", "group/g", 0.6), symptoms=LAG, routes=owners(action="ops"))),
            scored("missed", truth(f)),
            scored(
                "benign", truth(benign=(Benign(what="deploy", from_ms=ms(0), to_ms=ms(3600)),)),
                alert("i", 660, SLOW, symptoms=LAG, routes=owners(page=True)),
            ),
            Scored(recording="bad", platform="kafka", benign=(), spans_s=0, error="bad.jsonl:1: not a line"),
        ],
        "test", "0",
    )  # fmt: skip


def test_the_sums_of_a_corpus() -> None:
    r = corpus()
    o = r.overall
    assert (r.recordings, o.faults, r.recorded_hours) == (5, 3, 48)
    assert r.unusable == {"bad": "bad.jsonl:1: not a line"}
    assert (o.detected.right, o.detected.of) == (2, 3)
    assert (o.settled.top1.right, o.settled.top1.of) == (1, 3)
    assert (o.settled.root.right, o.settled.action.right, o.settled.diagnosis.right) == (2, 1, 2)
    assert (o.page.top1.right, o.page.top1.of) == (1, 1)
    assert o.settled.impact.of == 0
    assert o.incidents_per_fault == pytest.approx(2 / 3)
    assert (o.right_route_s.count, o.right_route_s.median) == (1, 60)
    assert o.right_route_after_symptom_s.median == 50
    assert sorted(r.by_platform) == ["automq", "kafka"]
    assert (r.by_platform["kafka"].faults, r.by_platform["automq"].settled.top1.right) == (2, 0)


def test_false_pages_of_a_corpus() -> None:
    f = corpus().false
    assert (f.benign_recordings, f.paged_benign_recordings.right, f.pages_on_benign, f.pages_beside_faults) == (1, 1, 1, 0)
    assert (f.by_what, f.by_cause) == ({"deploy": 1}, {"slow-consumer": 1})


def test_the_confusion_of_causes_has_what_was_missed_and_what_was_false() -> None:
    r = corpus()
    assert r.confusion == {
        "slow-consumer": {"slow-consumer": 1, "unknown": 1, NONE: 1},
        NO_FAULT: {"slow-consumer": 1},
    }
    assert r.settled_calibration.count == 3
    assert r.settled_calibration.brier == pytest.approx((0.01 + 0.36 + 0.81) / 3)


def test_each_baseline_is_shown_at_its_best_tuning_beside_kroute() -> None:
    w = corpus().ways
    assert list(w) == ["kroute", "by metric", "by cluster", "by topic"]
    assert (w["kroute"].first_page_to_action.right, w["kroute"].false_pages, w["kroute"].false_pages_per_day) == (1, 1, 0.5)
    assert w["by topic"].tuned == {"lag": 1000, "for_s": 300}
    assert (w["by topic"].first_page_to_action.right, w["by topic"].pages_per_fault) == (3, 2)


def test_the_worst_come_first_with_expected_and_got() -> None:
    lines = [(x.recording, x.what, x.why) for x in corpus().worst]
    assert lines == [
        ("missed", "missed", "expected slow-consumer at group/g → act; nothing was said"),
        ("wrong", "action", "expected slow-consumer at group/g → act; got unknown at group/g → ops (0.60)"),
        ("benign", "false page", "expected nothing during deploy; got slow-consumer at group/g (0.90), 1 page to act"),
    ]

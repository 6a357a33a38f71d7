"""The other end of the dead-man's switch."""

from __future__ import annotations

from click.testing import CliRunner

from kroute.admin.beats import Beat, judge, text
from kroute.cli.main import cli
from kroute.heartbeat import heartbeats

NOW = 1_800_000_000_000


def beats(*at: tuple[str, int]) -> list[bytes]:
    return [a.value for cluster, age_s in at for a in heartbeats([cluster], 1, NOW - age_s * 1000)]


def test_the_newest_heartbeat_of_each_cluster_counts_in_whatever_order_they_are_read() -> None:
    found = judge(beats(("a", 10), ("a", 70), ("b", 400), ("b", 460)), [], NOW, 300)
    assert [(b.cluster, b.age_s, b.late) for b in found] == [("a", 10.0, False), ("b", 400.0, True)]


def test_a_cluster_that_is_asked_for_and_was_never_heard_is_late() -> None:
    assert judge(beats(("a", 1)), ["a", "b"], NOW, 300)[1] == Beat("b", None, None, True)
    assert judge([], [], NOW, 300) == []


def test_what_is_no_heartbeat_is_left_out() -> None:
    assert judge([b"", b"[]", b'{"id":"inc-1-1","type":"opened","cluster":"a"}'], [], NOW, 300) == []


def test_a_line_says_what_is_late() -> None:
    late, ok = text(judge(beats(("b", 10)), ["a"], NOW, 300))
    assert late.split() == ["LATE", "a", "none", "in", "six", "hours"]
    assert ok.startswith("ok    b")


def test_an_age_that_cannot_be_read_is_a_usage_error() -> None:
    for bad in ("5", "m", "0s", "-1m", "1w", ""):
        done = CliRunner().invoke(cli, ["heartbeat", "--max-age", bad])
        assert done.exit_code == 2
        assert "such as 90s or 5m" in done.output

"""The schedule: gaps are told at each poll, trouble is logged once, one source's trouble is not another's."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from kroute.cli.collect import command
from kroute.collect.config import load_config
from kroute.collect.message import Message, Own
from kroute.collect.monitor import Monitor
from kroute.collect.run import Collector, Source
from kroute.contracts.codec import decode
from kroute.contracts.topics import Names
from kroute.errors import BadFile, SourceUnreachable

CONFIG = """\
clusters:
  - name: c
    metrics:
      - {url: "http://127.0.0.1:1/metrics", source: broker, id: "1"}
      - {url: "http://127.0.0.1:1/other", source: broker, id: "2"}
"""


class Kept:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, messages: Iterable[Message]) -> None:
        self.messages += messages

    def close(self) -> int:
        return 0


class Poller:
    name = "c/x"
    interval_ms = 15_000
    unable: Mapping[str, str] = {}

    def down(self, error: str) -> list[Message]:
        return [Message("broker-metrics", "k", error.encode())]


async def never() -> list[Message]:
    raise SourceUnreachable("no answer")


def collector(folder: Path, sink: Kept, monitor: Monitor | None = None) -> Collector:
    path = folder / "collect.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return Collector(load_config(path, {}), Own(Names(), "kroute"), sink, monitor or Monitor())


async def test_an_exporter_that_is_down_is_told_for_each_source(tmp_path: Path) -> None:
    sink, monitor = Kept(), Monitor()
    assert await collector(tmp_path, sink, monitor).once() == 2
    values = sorted((decode(m.topic, m.value) for m in sink.messages), key=lambda v: str(v.source.id))
    assert [(v.source.id, v.up, v.interval_ms) for v in values] == [("1", False, 15_000), ("2", False, 15_000)]
    assert all("127.0.0.1:1" in v.error for v in values)
    assert monitor.registry.get_sample_value("kroute_collect_poll_failures_total", {"source": "c/broker/1"}) == 1
    assert monitor.registry.get_sample_value("kroute_collect_source_up", {"source": "c/broker/1"}) == 0


async def test_a_surprise_in_one_source_is_a_gap_there_and_no_trouble_elsewhere(tmp_path: Path) -> None:
    sink = Kept()
    c = collector(tmp_path, sink)

    async def surprise() -> list[Message]:
        raise ZeroDivisionError("oops")

    async def fine() -> list[Message]:
        return [Message("broker-metrics", "k", b"fine")]

    c.sources = [Source(Poller(), surprise), Source(Poller(), fine)]
    assert await c.once() == 1
    assert sorted(m.value for m in sink.messages) == [b"ZeroDivisionError: oops", b"fine"]


async def test_what_a_poll_could_not_read_is_counted_though_its_source_answers(tmp_path: Path) -> None:
    monitor, partly = Monitor(), Poller()

    async def fine() -> list[Message]:
        return []

    for unable in ({"g": "no coordinator", "h": "no coordinator"}, {}):
        partly.unable = unable
        c = collector(tmp_path, Kept(), monitor)
        c.sources = [Source(partly, fine)]
        assert await c.once() == 0
        assert monitor.registry.get_sample_value("kroute_collect_source_up", {"source": "c/x"}) == 1
        assert monitor.registry.get_sample_value("kroute_collect_source_unread", {"source": "c/x"}) == len(unable)


def test_trouble_is_logged_when_it_begins_then_at_growing_intervals_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(Poller(), never)
    with caplog.at_level(logging.INFO):
        said = []
        for now in range(0, 600, 15):
            source.failed("no answer", float(now))
            said += [now] * len(caplog.records)
            caplog.clear()
        assert said == [0, 60, 180, 420]
        source.answered()
        source.answered()
    assert [r.getMessage() for r in caplog.records] == ["c/x answers again"]


@given(st.floats(0, 2e9))
def test_the_next_poll_is_on_the_sources_grid_whenever_one_looks(now_s: float) -> None:
    source = Source(Poller(), never)
    delay = source.delay_s(now_s)
    assert source.interval_s / 10 < delay <= 1.1 * source.interval_s
    first = source.delay_s(0.0)
    away = (now_s + delay - first) % source.interval_s
    assert min(away, source.interval_s - away) < 1e-3


def test_an_alias_table_that_is_not_there_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "collect.yaml"
    path.write_text(CONFIG.replace('id: "1"', 'id: "1", aliases: nope'), encoding="utf-8")
    with pytest.raises(BadFile, match=r"no such table.*asked for by clusters\[0\].metrics\[0\]"):
        Collector(load_config(path, {}), Own(Names(), "kroute"), Kept(), Monitor())


def test_once_ends_with_status_1_where_a_source_gave_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "collect.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    done = CliRunner().invoke(command, ["--config", str(path), "--once", "--dry-run"])
    assert done.exit_code == 1
    assert done.stdout.count('"up":false') == 2

"""One Prometheus endpoint: what is said of it where it tells nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

import pytest

from kroute.collect.aliases import load_aliases
from kroute.collect.config import Exposition
from kroute.collect.http import Http
from kroute.collect.message import Own
from kroute.collect.scrape import ExpositionPoller
from kroute.contracts.topics import Names

CONFIG = Exposition(url="http://h/metrics", source="link", id="eu-to-dr")


class Page:
    """An endpoint that answers with this text."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def ok(self, url: str, headers: object = None) -> bytes:
        return self.text.encode()


def test_a_source_of_which_no_metric_is_known_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    page = Page("# TYPE something_else gauge\nsomething_else 1\n")
    poller = ExpositionPoller(
        "c", CONFIG, load_aliases("strimzi"), cast(Http, page), Own(Names(), "kroute"), interval_ms=10_000
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            asyncio.run(poller.poll())
        said = [r.message for r in caplog.records]
        assert said == ["c/link/eu-to-dr: no metric of http://h/metrics is known to its aliases: it answers, and tells nothing"]

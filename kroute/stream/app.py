"""The Faust app of a worker: its settings, its agents, and when work may flow.

``create_app`` builds one; ``faust -A kroute.stream.app worker`` finds one built from the environment under ``app``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import faust
import faust.auth
from aiokafka.abc import AbstractTokenProvider
from faust.app.base import BootStrategy
from faust.types import TP
from prometheus_client import REGISTRY

from kroute import settings as settings_module
from kroute import tls, web
from kroute.contracts.topics import SIGNALS, STATES
from kroute.errors import ConfigError, KrouteError
from kroute.oauth import Tokens
from kroute.settings import Kafka, Settings
from kroute.stream import consumer as holding
from kroute.stream import crash, metrics, placement
from kroute.stream.correlate import Correlate
from kroute.stream.gate import StateGate
from kroute.stream.ingest import TAKE, Ingest
from kroute.stream.interface import EngineLike
from kroute.stream.process import EXIT_STATE, Datadir, Watchdog, die
from kroute.stream.tables import Tables
from kroute.stream.topics import create_topics, input_topics, realms
from kroute.stream.web import Web

log = logging.getLogger(__name__)
SESSION_S = 10.0
HEARTBEAT_S = 3.0
REQUEST_S = 60.0
TICK_S = 1.0
STOP_S = 25.0
"""A stop that takes longer (Kafka does not answer) ends the process as it is: the next start recovers."""


class NoWeb(BootStrategy):
    """Without Faust's own web server, which shows table data and binds port 6066."""

    enable_web = False


class App(faust.App):
    """Faust's app with kroute's parts hung in at the points where work may begin and must end."""

    BootStrategy = NoWeb
    consumer: Any
    logger = logging.getLogger("faust.app")
    settings: Settings
    ingest: Ingest
    correlate: Correlate
    gate: StateGate
    watchdog: Watchdog
    datadir: Datadir
    web_service: Web

    def _new_transport(self) -> Any:
        return holding.transport(self)

    prepared = False
    recovered = 0
    """The newest rebalance after which state was recovered, by ``rebalancing_count``."""
    stopping: threading.Timer | None = None

    def prepare(self) -> None:
        """Everything that can fail happens before anything is read. Blocks; once.

        Raises:
            ConfigError: what is served may not be served there.
            NotAuthorized: Kafka's ACLs lack a right.
            StateError: topics, stored rows or the datadir do not fit.
            SourceUnreachable: Kafka gave no answer.
        """
        web.check_bind(self.settings.web_host, self.settings.web)
        web.context(self.settings.web)
        create_topics(self.settings)
        discarded = self.datadir.open()
        metrics.STORE_DISCARDED.set(discarded)
        if discarded:
            log.warning("the last stop was not clean: the local store is thrown away, state comes from the changelogs")
        self.ingest.placed(placement.read(self.settings))
        self.gate.note_ends()
        self.prepared = True

    async def on_first_start(self) -> None:
        """Prepare, then begin to serve ``/ready``."""
        if not self.prepared:  # a plain Faust worker: there is nobody else to say what is wrong
            try:
                await asyncio.to_thread(self.prepare)
            except KrouteError as e:
                die(str(e), code=EXIT_STATE)
        self.consumer.held = frozenset(self.settings.names.full(t) for t in SIGNALS)
        self.consumer.batched = self.ingest.topics
        await super().on_first_start()
        await self.add_runtime_dependency(self.web_service)
        self.watchdog.start()

    async def on_started(self) -> None:
        """Recovery is over."""
        self.add_future(self.gate.wait())
        await super().on_started()

    def not_ready(self) -> str | None:
        """Why this worker is not ready; None where it is."""
        if self.in_recovery:
            return "recovering tables"
        if self.rebalancing:
            return "rebalancing"
        if not self.tables.actives_ready:
            return "recovering tables"
        if not self.gate.is_open:
            return "waiting for state inputs"
        return None

    def release_signals(self) -> None:
        """The state inputs are read."""
        self.consumer.held = frozenset()

    def on_rebalance_end(self) -> None:
        """Faust has sought the start of each partition and lets records flow: work may begin.

        Not where another rebalance has begun since the tables were read: Faust tells of the one before all the same.
        """
        if self.recovered != self.rebalancing_count:
            log.info("recovery was overtaken by another rebalance: work waits for that")
            return
        super().on_rebalance_end()
        if self.should_stop:
            return
        committed = self.consumer._committed_offset
        mine = [tp for tp in self.consumer.assignment() if tp.topic in self.ingest.topics]
        self.ingest.assigned({TP(*tp): committed.get(tp) or 0 for tp in mine})
        self.consumer.release()
        self.ingest.flow.open()
        self.correlate.flow.open()

    async def drain(self, *_: Any, **__: Any) -> None:
        """Let the work in flight finish, begin none, and commit where it stands."""
        self.consumer.hold()
        await self.ingest.flow.close()
        await self.correlate.flow.close()
        await self.ingest.commit()
        await crash.point("drained")

    async def on_stop(self) -> None:
        """Drain before the consumer and the stores are closed."""
        self.stopping = stop_within(STOP_S)
        await self.correlate.halt()
        if self.consumer.started:
            await self.drain()
            if self.crash_reason is None:
                try:
                    await self.correlate.settle()
                except Exception as e:  # then the newest unit is repeated at the next start, as after a kill
                    log.warning("the journal could not be told that all is applied: %r", e)
        await super().on_stop()

    async def on_shutdown(self) -> None:
        """All is closed; the local store may be used again unless something went wrong."""
        await super().on_shutdown()
        if self.stopping is not None:
            self.stopping.cancel()
        self.watchdog.stop()
        self.datadir.close(clean=self.crash_reason is None and not self.correlate.interrupted)


def stop_within(limit_s: float) -> threading.Timer:
    """End the process unless the timer is cancelled before ``limit_s`` seconds have passed."""
    timer = threading.Timer(limit_s, die, [f"the stop was not over within {limit_s:g} s: Kafka does not answer"])
    timer.daemon = True
    timer.start()
    return timer


def create_app(settings: Settings, engine: EngineLike | None = None, *, accept_gap: bool = False) -> App:
    """The app of one worker.

    ``engine`` defaults to ``kroute.engine.build(settings)``. ``accept_gap``: go on where retention deleted facts
    that were not applied. Nothing is read or written before the app starts.

    Raises:
        ConfigError, BadFile: a setting or a file of the catalogue cannot be used.
    """
    if engine is None:
        from kroute.engine import build  # noqa: PLC0415  (tests bring an engine of their own)

        engine = build(settings)
    names = input_topics(settings, realms())
    full = settings.names.full
    app = App(settings.app_id, **_conf(settings))
    app.settings = settings
    app.datadir = Datadir(Path(settings.datadir), Path(app.conf.tabledir))
    app.watchdog = Watchdog(SESSION_S / 2)
    tables = Tables(app, settings.facts_partitions)
    app.ingest = Ingest(app, settings, names)
    app.correlate = Correlate(app, settings, engine, tables, app.watchdog, accept_gap=accept_gap)
    states = tuple(n for n in names if settings.names.short(n) in STATES)
    signals = tuple(n for n in names if settings.names.short(n) in SIGNALS)
    app.gate = StateGate(settings, states, lambda: app.ingest.positions, app.release_signals)
    app.web_service = Web(settings.web_host, settings.web_port, settings.web, app.not_ready)
    tables.by_name["journal"].on_recover(app.correlate.recover)
    app.on_partitions_revoked.connect(app.drain, weak=False)

    def topic(*topics: str, maxsize: int) -> Any:
        # No acks: Faust commits past records that a rebalance cancelled. Positions are committed by ingest, and the
        # journal holds that of facts.
        raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
        return app.topic(*topics, **raw, acks=False, allow_empty=True, maxsize=maxsize)

    app.agent(topic(*states, maxsize=TAKE), name="ingest-states", concurrency=1)(app.ingest.run)
    app.agent(topic(*signals, maxsize=TAKE), name="ingest-signals", concurrency=1)(app.ingest.run)
    app.agent(topic(full("facts"), maxsize=32), name="correlate", concurrency=1)(app.correlate.run)

    @app.timer(interval=TICK_S, name="progress")  # type: ignore[untyped-decorator]
    async def tick() -> None:
        await app.ingest.tick()
        try:
            await app.correlate.commit(app.ingest.clock.now_ms(time.monotonic()))
        except Exception as e:  # only figures for operators: the journal holds the position
            log.warning("positions of facts could not be committed: %r", e)

    REGISTRY.register(metrics.Figures(app))
    return app


def _conf(settings: Settings) -> dict[str, Any]:
    host = socket.gethostname()
    return {
        "broker": ";".join(f"kafka://{address.strip()}" for address in settings.kafka.bootstrap.split(",")),
        "broker_credentials": credentials(settings.kafka),
        "broker_session_timeout": SESSION_S,
        "broker_heartbeat_interval": HEARTBEAT_S,
        "broker_request_timeout": REQUEST_S,
        "broker_max_poll_records": 500,
        "consumer_auto_offset_reset": "earliest",
        # A record larger than this is still returned, alone (KIP-74): 16 MiB inputs pass, memory stays bounded.
        "consumer_max_fetch_size": 4 * 1024 * 1024,
        "producer_acks": -1,
        # Above 0, so that the rows of a unit share a request; each unit waits for it twice, so no more than that.
        "producer_linger": 0.001,
        # One batch per partition and request: rows of a unit must not queue behind each other.
        "producer_max_batch_size": 900_000,
        "producer_max_request_size": 1_000_000,
        "producer_request_timeout": REQUEST_S,
        "processing_guarantee": "at_least_once",
        "store": "rocksdb://",
        "datadir": str(Path(settings.datadir).absolute()),
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": settings.facts_partitions,
        "stream_wait_empty": False,
        "stream_recovery_delay": 0.0,
        "web_enabled": False,
        # Faust tells members apart by this address; nothing listens there.
        "canonical_url": f"http://{host}-{os.getpid()}:{settings.web_port or 1}",
        "worker_redirect_stdouts": False,
    }


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Access tokens for aiokafka, from the source that all clients of the process share."""

    def __init__(self, source: Tokens) -> None:
        self._source = source

    async def token(self) -> str:
        """A token that has not ended; asking the endpoint blocks, so a thread does it."""
        return (await asyncio.to_thread(self._source.get)).value


def credentials(kafka: Kafka) -> Any:
    """Faust's credentials for a cluster; None for PLAINTEXT.

    Raises:
        ConfigError: a certificate or key that cannot be used.
    """
    protocol = kafka.security_protocol
    context = None
    if protocol.endswith("SSL"):
        try:
            context = tls.client(kafka.ssl_cafile, kafka.ssl_certfile, kafka.ssl_keyfile)
        except (OSError, ValueError) as e:
            raise ConfigError(
                f"KROUTE_SSL_CAFILE, KROUTE_SSL_CERTFILE or KROUTE_SSL_KEYFILE holds no certificate or key in PEM that fits: {e}"
            ) from None
    if kafka.tokens is not None:
        return faust.auth.OAuthCredentials(oauth_cb=TokenProvider(kafka.tokens), ssl_context=context)
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism, username=kafka.username, password=kafka.password, ssl_context=context
        )
    return None if context is None else faust.SSLCredentials(context)


def __getattr__(name: str) -> Any:
    """``app``, built from the environment when it is first asked for: by the ``faust`` program, so a mistake ends it."""
    if name == "app":
        import uvloop  # noqa: PLC0415  (only where this module is the program)

        uvloop.install()
        try:
            built = create_app(settings_module.load())
        except KrouteError as e:
            sys.stderr.write(f"kroute: {e}\n")
            raise SystemExit(EXIT_STATE) from None
        globals()["app"] = built
        return built
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Connectors, rules C1–C7."""

from __future__ import annotations

import pytest

from kroute.contracts.inputs import ConsumerLag, PartitionLag, Task
from kroute.signals.model import Status, Symptom
from kroute.signals.table import LAG
from kroute.signals.trace import classify, clip
from tests.unit.signals.windowsbench import Bench, C, at, entity, sample, scrape, status, task

SINK = entity("connector", "ca/sink")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_c1_a_failed_task_of_a_running_connector_counts_at_once(bench: Bench) -> None:
    bench.feed(status(0, task(0), task(1)))
    assert bench.status(SINK, "task-failed") is Status.HEALTHY
    trace = "org.apache.kafka.connect.errors.ConnectException: Exiting\n\tat x\nCaused by: java.net.ConnectException: Connection refused\n\tat y"
    bench.feed(status(1, task(0), task(1, "FAILED", trace), system="es"))
    s = bench.symptom(SINK, "task-failed")
    assert s.since_ms == at(1)
    assert s.why == "1 of 2 tasks FAILED: java.net.ConnectException: Connection refused"
    assert s.detail == {
        "tasks": [1],
        "of": 2,
        "workers": ["w1"],
        "trace": trace,
        "trace_kind": "system",
        "type": "sink",
        "system": "es",
    }
    bench.feed(status(2, task(0), task(1)))
    assert bench.status(SINK, "task-failed") is Status.HEALTHY


def test_c1_since_is_the_first_poll_that_showed_it(bench: Bench) -> None:
    for poll in range(4):
        bench.feed(status(poll, task(0, "FAILED" if poll else "RUNNING")))
    assert bench.symptom(SINK, "task-failed").since_ms == at(1)


def test_c1_a_long_trace_keeps_its_first_two_kibibytes(bench: Bench) -> None:
    bench.feed(status(0, task(0, "FAILED", "é" * 5000)))
    assert len(bench.symptom(SINK, "task-failed").detail["trace"].encode()) == 2048


def test_c2_a_failed_connector(bench: Bench) -> None:
    bench.feed(status(0, state="FAILED", trace="org.apache.kafka.common.config.ConfigException: bad url"))
    s = bench.symptom(SINK, "connector-failed")
    assert s.detail["trace_kind"] == "config"
    assert "bad url" in s.why


def test_c3_put_latency_against_its_own_usual(bench: Bench) -> None:
    for poll in range(60):
        bench.feed(status(poll, task(0, put_batch_ms=90)))
    assert bench.status(SINK, "put-latency-high") is Status.HEALTHY
    for poll in range(60, 63):
        assert "put-latency-high" not in bench.board.of(SINK)
        bench.feed(status(poll, task(0, put_batch_ms=4100)))
    s = bench.symptom(SINK, "put-latency-high")
    assert s.why == "put latency 4.1 s (usual 0.09 s)"
    assert (s.since_ms, s.value) == (at(60), 4100.0)
    bench.feed(status(63, task(0, put_batch_ms=90)))
    assert "put-latency-high" in bench.board.of(SINK)
    bench.feed(status(64, task(0, put_batch_ms=90)))
    assert bench.status(SINK, "put-latency-high") is Status.HEALTHY


@pytest.mark.parametrize(("behind", "surges", "told"), [(True, False, True), (False, False, False), (True, True, False)])
def test_c3_of_a_sink_that_falls_behind_less_is_enough(bench: Bench, behind: bool, surges: bool, told: bool) -> None:
    """Not where far more is written to its topic: batches are larger then."""
    group, topic = entity("group", "connect-sink"), entity("topic", "t")
    for poll in range(60):
        bench.feed(status(poll, task(0, put_batch_ms=36), group=group.name))
    parts = (PartitionLag(topic="t", partition=0, end=5, committed=5),)
    bench.estate.observe_lag(ConsumerLag(cluster=C, observed_at_ms=at(59), group=group.name, state="Stable", partitions=parts))
    for e, kind, there in ((group, "lag-growing", behind), (topic, "produce-surge", surges)):
        s = Symptom(kind=kind, entity=e, since_ms=at(59), last_ms=at(59), value=1.0, why="")
        bench.board.report(LAG, e, at(59), 30_000, frozenset({kind}), [s] if there else [])
    for poll in range(60, 64):
        bench.feed(status(poll, task(0, put_batch_ms=122), group=group.name))
    assert ("put-latency-high" in bench.board.of(SINK)) is told


def test_c3_without_a_baseline_the_field_holds(bench: Bench) -> None:
    for poll in range(3):
        bench.feed(status(poll, task(0, put_batch_ms=900)))
    assert bench.status(SINK, "put-latency-high") is Status.HEALTHY
    for poll in range(3, 6):
        bench.feed(status(poll, task(0, put_batch_ms=1100)))
    assert bench.status(SINK, "put-latency-high") is Status.ACTIVE


def test_c3_one_odd_poll_raises_nothing(bench: Bench) -> None:
    for poll in range(30):
        bench.feed(status(poll, task(0, put_batch_ms=60_000 if poll % 3 == 0 else 90)))
        assert "put-latency-high" not in bench.board.of(SINK)


def test_c3_usual_stays_what_it_was_while_the_symptom_lasts(bench: Bench) -> None:
    for poll in range(60):
        bench.feed(status(poll, task(0, put_batch_ms=90)))
    for poll in range(60, 400):
        bench.feed(status(poll, task(0, put_batch_ms=4100)))
    assert bench.symptom(SINK, "put-latency-high").why == "put latency 4.1 s (usual 0.09 s)"


def test_c3_is_judged_from_a_workers_scrape_too(bench: Bench) -> None:
    for poll in range(3):
        bench.feed(status(poll, task(0)))
        bench.feed(
            scrape(poll, sample("put_batch_ms", 5000, connector="sink", task="0"), kind="connect-worker", of="w1", connect="ca")
        )
    assert bench.status(SINK, "put-latency-high") is Status.ACTIVE
    assert bench.status(SINK, "task-failed") is Status.HEALTHY


def test_c3_tells_on_which_workers_its_tasks_are_slow(bench: Bench) -> None:
    def polled(polls: range, **ms: float) -> None:
        for poll in polls:
            for n, (worker, value) in enumerate(ms.items()):
                put = sample("put_batch_ms", value, connector="sink", task=str(n))
                bench.feed(scrape(poll, put, kind="connect-worker", of=f"{worker}:8083", connect="ca"))

    polled(range(60), w1=100, w2=40, w3=90)
    polled(range(60, 63), w1=105, w2=600, w3=92)
    assert {"workers": ["ca/w2:8083"], "apart": "yes"}.items() <= bench.symptom(SINK, "put-latency-high").detail.items()
    polled(range(63, 64), w1=105, w2=41, w3=92)
    assert {"workers": ["ca/w2:8083"], "apart": "yes"}.items() <= bench.symptom(SINK, "put-latency-high").detail.items()
    polled(range(64, 80), w1=100, w2=40, w3=90)
    assert "put-latency-high" not in bench.board.of(SINK)
    polled(range(80, 83), w1=900, w2=400, w3=800)
    slow = {"workers": ["ca/w1:8083", "ca/w2:8083", "ca/w3:8083"], "apart": "no"}
    assert slow.items() <= bench.symptom(SINK, "put-latency-high").detail.items()


def test_without_put_times_put_latency_is_not_observed(bench: Bench) -> None:
    bench.feed(status(0, task(0)))
    assert bench.status(SINK, "put-latency-high") is Status.UNOBSERVED


def test_c4_a_task_on_no_worker_counts_at_the_second_poll(bench: Bench) -> None:
    bench.feed(status(0, task(0, "UNASSIGNED"), task(1)))
    assert "task-unassigned" not in bench.board.of(SINK)
    bench.feed(status(1, task(0, "UNASSIGNED"), task(1)))
    s = bench.symptom(SINK, "task-unassigned")
    assert (s.why, s.since_ms) == ("1 of 2 tasks on no worker", at(0))


@pytest.mark.parametrize("state", ["PAUSED", "STOPPED"])
def test_c5_paused_and_stopped(bench: Bench, state: str) -> None:
    bench.feed(status(0, task(0, state), state=state))
    assert bench.symptom(SINK, "connector-paused").why == f"the connector is {state}"


@pytest.mark.parametrize("signal", ["record_failure_rate", "record_skip_rate", "dead_letter_rate"])
def test_c6_records_that_fail(bench: Bench, signal: str) -> None:
    for poll in range(3):
        bench.feed(
            status(poll, Task(id=0, state="RUNNING", metrics={signal: 1.0}), Task(id=1, state="RUNNING", metrics={signal: 1.5}))
        )
    s = bench.symptom(SINK, "record-failures")
    assert (s.value, s.detail["feature"]) == (2.5, signal)


def test_c7_a_steady_source_that_falls_silent(bench: Bench) -> None:
    source = entity("connector", "ca/src")
    for poll in range(60):
        bench.feed(status(poll, task(0, source_poll_rate=100.0 + poll % 3), name="src", of="source"))
    for poll in range(60, 65):
        assert "source-silent" not in bench.board.of(source)
        bench.feed(status(poll, task(0, source_poll_rate=0.0), name="src", of="source"))
    assert bench.symptom(source, "source-silent").why == "0 records/s from the source (usual 101)"
    bench.feed(status(65, task(0, source_poll_rate=100.0), name="src", of="source"))
    bench.feed(status(66, task(0, source_poll_rate=100.0), name="src", of="source"))
    assert "source-silent" not in bench.board.of(source)


def test_c7_a_bursty_source_is_not_called_silent(bench: Bench) -> None:
    source = entity("connector", "ca/src")
    for poll in range(120):
        bench.feed(status(poll, task(0, source_poll_rate=100.0 * (poll // 6 % 2)), name="src", of="source"))
        assert "source-silent" not in bench.board.of(source)


def test_a_failed_poll_is_not_observed_and_ends_nothing(bench: Bench) -> None:
    bench.feed(status(0, task(0, "FAILED")))
    bench.feed(status(1, state=None, up=False, error="503"))  # type: ignore[arg-type]
    assert bench.status(SINK, "task-failed") is Status.ACTIVE
    assert bench.status(SINK, "connector-failed") is Status.UNOBSERVED
    assert bench.board.is_stale(bench.symptom(SINK, "task-failed"), bench.now)
    bench.feed(status(2, task(0)))
    assert bench.status(SINK, "task-failed") is Status.HEALTHY


def test_a_late_status_does_not_bring_back_an_old_state(bench: Bench) -> None:
    bench.feed(status(0, task(0)))
    bench.feed(status(2, task(0)))
    bench.feed(status(1, task(0, "FAILED")))
    assert bench.status(SINK, "task-failed") is Status.HEALTHY


def test_a_deleted_connector_is_forgotten_with_its_rows(bench: Bench) -> None:
    bench.feed(status(0, task(0, "FAILED", put_batch_ms=3)))
    bench.feed(status(1, state="DELETED"))
    assert not bench.board.active
    assert [k for k in bench.stored() if k[0] == "connector_status"] == []


def test_a_split_status_holds_the_failures_of_all_parts(bench: Bench) -> None:
    for poll in range(3):
        bench.feed(status(poll, task(0, "FAILED"), part=0, parts=2))
        bench.feed(status(poll, task(1), part=1, parts=2))
        assert bench.symptom(SINK, "task-failed").why == "1 of 2 tasks FAILED"


@pytest.mark.parametrize(
    ("trace", "kind"),
    [
        ("org.apache.kafka.common.config.ConfigException: Invalid value x", "config"),
        ("ConnectException: Exiting WorkerSinkTask\nCaused by: java.nio.file.NoSuchFileException: /tmp/x", "config"),
        ("java.io.FileNotFoundException: /x (No such file or directory)", "config"),
        ("ConnectException: Exiting WorkerSinkTask\n\tat a\nCaused by: java.net.SocketTimeoutException: Read timed out", "system"),
        ("Caused by: ElasticsearchStatusException[method [POST], status code 503]", "system"),
        ("software.amazon.awssdk.services.s3.model.S3Exception: Please reduce your request rate. SlowDown", "system"),
        ("org.apache.kafka.connect.errors.DataException: Failed to deserialize data for topic t", "schema"),
        ("Tolerance exceeded\nCaused by: org.apache.kafka.common.errors.SerializationException: Unknown magic byte!", "schema"),
        ("org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized", "auth"),
        ("java.sql.SQLException: password authentication failed for user", "auth"),
        ("java.sql.SQLException: Access denied for user 'connect'@'10.0.0.7' (using password: YES)", "auth"),
        ("PSQLException: ERROR: permission denied for table invoices", "denied"),
        ("BigQueryException: Access Denied: Table a:b.c: Permission t.updateData denied on table a:b.c", "denied"),
        ("S3Exception: Access Denied (Service: S3, Status Code: 403)", "denied"),
        ("type=security_exception, reason=action [indices:data/write] is unauthorized for user [connect]", "denied"),
        ("HttpResponseException: 401 Unauthorized", "auth"),
        ("Indexing failed: index [o] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark]", "system"),
        ("PSQLException: ERROR: cannot execute INSERT in a read-only transaction", "system"),
        ("java.lang.NullPointerException", "other"),
        (None, "other"),
    ],
)  # fmt: skip
def test_a_trace_is_classified_by_its_innermost_telling_cause(trace: str | None, kind: str) -> None:
    assert classify(trace) == kind


def test_clip_never_cuts_a_character() -> None:
    assert clip("a" + "é" * 2000).encode().decode() == "a" + "é" * 1023


def test_c3_a_system_that_takes_well_over_twice_as_long_is_slow_since_it_began_to_be(bench: Bench) -> None:
    for poll in range(60):
        bench.feed(status(poll, task(0, put_batch_ms=120)))
    for poll, ms in enumerate((190, 250, 310, 320, 320), 60):
        bench.feed(status(poll, task(0, put_batch_ms=ms)))
    s = bench.symptom(SINK, "put-latency-high")
    assert s.detail["limit"] == 300.0
    assert s.since_ms == at(60), "above its limit since 62, and no longer usual since 60"

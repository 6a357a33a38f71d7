"""The least each process needs on kroute's own Kafka, and the collector on a cluster that it polls.

Nobody but the worker writes ``facts``: a fact states the realm of a control, so who can write there can speak for any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kroute.contracts.topics import INPUTS, SIGNALS, TABLES
from kroute.rights.model import CLUSTER, Right
from kroute.settings import Settings
from kroute.stream.changelog import changelog

PROCESSES: dict[str, str] = {
    "worker": "kroute worker",
    "collector": "kroute collect, on kroute's own Kafka",
    "source": "kroute collect and kroute audit, on a cluster that they poll",
    "reader": "commands that only read: explain, report, record, route, compare, audit, lists",
    "ownership": "kroute ownership apply, diff, list, audit",
    "policy": "kroute policy apply, history, rollback",
    "changes": "kroute change, and machines that declare deploys and replays",
    "responder": "kroute silence, ack, verdict, action of people; one per realm",
    "executor": "an executor: reads alerts, reports as its realm",
    "notifier": "a consumer of routed-alerts",
}
"""Process → what runs as it."""
EXECUTOR_GROUP = "kroute-executor"
"""Of ``deploy/executor``; it reads by hand and commits nothing."""
OF_A_REALM = ("responder", "executor")

R, W, D, C = "Read", "Write", "Describe", "Create"


def rights(
    settings: Settings, process: str, realms: Sequence[str] = (), realm: str | None = None, *,
    create: bool = True, group: str = "kroute-notifier",
) -> list[Right]:  # fmt: skip
    """What a process needs. ``realms``: all there are; ``realm``: the one it speaks for. ``create``: the worker makes topics.

    ``group``: of the notifier.
    """
    full = settings.names.full
    alerts, facts = full("routed-alerts"), full("facts")
    controls = [full("controls"), *(full(f"controls.{r}") for r in realms)]
    reader = Right(
        "group", f"{settings.app_id}-reader", (D,), "the client asks for its coordinator; without it the broker logs denials"
    )

    def read(why: str, *names: str) -> list[Right]:
        return [Right("topic", n, (R,), why) for n in names]

    def write(why: str, *names: str) -> list[Right]:
        return [Right("topic", n, (W,), why) for n in names]

    if process == "worker":
        return _worker(settings, controls, reader, create=create)
    if process == "collector":
        return write("signals", *(full(t) for t in SIGNALS))
    if process == "source":
        return list(SOURCE)
    if process == "reader":
        names = [full(t) for t in INPUTS if t != "controls"] + controls
        names += [full("policy-history"), full("dead-letter"), alerts, facts, *(changelog(settings, t) for t in TABLES)]
        return [*read("reads only", *names), reader]
    if process == "ownership":
        seen = [full(t) for t in SIGNALS]
        rows = Right("topic", full("ownership"), (R, W), "rows")
        return [rows, *read("what rows should cover (audit --estate)", *seen), reader]
    if process == "policy":
        own = [Right("topic", full(t), (R, W), "the policy, and which were") for t in ("policy", "policy-history")]
        return [*own, *read("checked against its owners", full("ownership")), reader]
    if process == "changes":
        return [Right("topic", full("changes"), (R, W), "declared changes"), reader]
    mine = full(f"controls.{realm}") if realm else full("controls")
    if process == "responder":
        return [
            *read("which incident is meant", alerts), *read("what the policy lets", full("policy"), full("policy-history")),
            Right("topic", mine, (R, W), "controls of this realm, and those it gave"), reader,
        ]  # fmt: skip
    if process == "executor":
        return [
            *read("what to act on", alerts), *read("what the policy lets", full("policy"), full("policy-history")),
            Right("topic", mine, (R, W), "its reports"), Right("group", EXECUTOR_GROUP, (R,), "reads as this group"), reader,
        ]  # fmt: skip
    assert process == "notifier", process
    return [*read("what to deliver", alerts), Right("group", group, (R,), "its position")]


def _worker(settings: Settings, controls: Iterable[str], reader: Right, *, create: bool) -> list[Right]:
    full = settings.names.full
    first = (C,) if create else ()

    def right(name: str, why: str, *operations: str) -> Right:
        return Right("topic", name, (*operations, *first), why)

    return [
        *(right(full(t), "an input", R) for t in INPUTS if t != "controls"),
        *(right(t, "an input", R) for t in controls),
        right(full("facts"), "the log of all that was known", R, W),
        right(full("placement"), "which domain lives in which partition", R, W),
        right(full("dead-letter"), "what could not be used", W),
        right(full("routed-alerts"), "the output", W),
        right(full("policy-history"), "made with the others, for commands", D),
        *(right(changelog(settings, t), "state", R, W) for t in TABLES),
        Right("group", settings.app_id, (R,), "shares the partitions"),
        reader,
    ]


SOURCE: tuple[Right, ...] = (
    Right("cluster", CLUSTER, ("Describe", "DescribeConfigs"), "brokers, log dirs, quorum, reassignments, ACLs, quotas"),
    Right("topic", "*", ("Describe", "DescribeConfigs"), "placement, offsets, configuration; no record is read"),
    Right("group", "*", ("Describe",), "members and committed offsets"),
    Right("transactional-id", "*", ("Describe",), "transactions that hang"),
)
"""On a monitored cluster: to look, nowhere to read a record or to change anything."""

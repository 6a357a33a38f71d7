"""The rules of urgency, of repetition and of the policy, each row with its reason."""

from __future__ import annotations

import pytest

from kroute.contracts.rows import Control, Policy
from kroute.routing.calendars import CalendarError, read_calendar
from kroute.routing.controls import Controls
from kroute.routing.ledger import Said, needs_update
from kroute.routing.policy import DEFAULT, InForce, PolicyBook, check
from kroute.routing.times import rfc3339
from kroute.routing.urgency import Context, Situation, Telling, by_policy, decide
from kroute.signals.model import Rows

S = Situation
PAGE, TICKET, NOTIFY = "page", "ticket", "notify"


@pytest.mark.parametrize(
    ("situation", "rule", "severity", "impact", "action", "diagnosis", "platform", "reason"),
    [
        (S(breached=True, suppressed="silence"), 1, "critical", None, None, None, None, "silenced"),
        (S(availability=True, suppressed="maintenance"), 1, "critical", None, None, None, None, "maintenance"),
        (S(breached=True, declared=True, no_page=True), 2, "critical", NOTIFY, NOTIFY, NOTIFY, None, "declared-change"),
        (S(declared=True), 2, "info", NOTIFY, NOTIFY, NOTIFY, None, "declared-change"),
        (S(breached=True, confidence=0.7), 3, "critical", PAGE, PAGE, NOTIFY, None, "objective-breached"),
        (S(breached=True, confidence=0.69), 3, "critical", PAGE, NOTIFY, NOTIFY, PAGE, "cause-uncertain"),
        (S(breached=True, availability=True), 3, "critical", PAGE, PAGE, NOTIFY, None, "objective-breached"),
        (S(breached=True, no_page=True), 3, "critical", PAGE, PAGE, NOTIFY, None, "objective-breached"),
        (S(availability=True, confidence=0.2), 4, "critical", PAGE, PAGE, NOTIFY, PAGE, "availability-threatened"),
        (S(at_risk=True), 5, "major", None, TICKET, NOTIFY, None, "at-risk"),
        (S(at_risk=True, first_tier=True), 5, "major", None, PAGE, NOTIFY, None, "at-risk"),
        (S(at_risk=True, first_tier=True, no_page=True), 5, "major", None, TICKET, NOTIFY, None, "at-risk"),
        (S(cost=True), 6, "info", None, TICKET, NOTIFY, None, "cost"),
        (S(no_page=True), 6, "info", None, NOTIFY, NOTIFY, None, "informed"),
        (S(), 6, "minor", None, TICKET, NOTIFY, None, "no-objective-at-risk"),
    ],
)  # fmt: skip
def test_the_first_rule_that_matches_decides(
    situation: Situation, rule: int, severity: str, impact: str | None, action: str | None, diagnosis: str | None, platform: str | None,
    reason: str,
) -> None:  # fmt: skip
    d = decide(situation)
    assert (d.rule, d.severity) == (rule, severity)
    assert (d.impact.urgency, d.action.urgency, d.diagnosis.urgency, d.platform.urgency) == (impact, action, diagnosis, platform)
    assert d.action.reason == reason


def test_an_owner_of_a_service_that_is_only_at_risk_is_notified() -> None:
    assert decide(S(breached=True, at_risk=True)).impact_at_risk == Telling("notify", "at-risk")


CTX = Context("slow-consumer", "prod", ("search", "bi"), ("1",), "at-risk", "team-s", "action")


@pytest.mark.parametrize(
    ("when", "told", "urgency"),
    [
        ({}, Telling(TICKET, "at-risk"), PAGE),
        ({"cause": ["slow-*"]}, Telling(TICKET, "at-risk"), PAGE),
        ({"cause": ["sink-throttled"]}, Telling(TICKET, "at-risk"), TICKET),
        ({"service": ["bi"], "service_tier": [1], "objective": "at-risk"}, Telling(TICKET, "at-risk"), PAGE),
        ({"tier": "2"}, Telling(TICKET, "at-risk"), TICKET),
        ({"urgency": ["notify"]}, Telling(TICKET, "at-risk"), TICKET),
        ({"team": ["team-s"], "cluster": ["p*"]}, Telling(TICKET, "at-risk"), PAGE),
        ({"inside": "night"}, Telling(TICKET, "at-risk"), TICKET),
        ({"outside": "night"}, Telling(TICKET, "at-risk"), PAGE),
        ({}, Telling(NOTIFY, "cause-uncertain"), NOTIFY),  # rule 3 only by name
        ({"reason": ["cause-uncertain"]}, Telling(NOTIFY, "cause-uncertain"), PAGE),
        ({"reason": ["declared-change"]}, Telling(NOTIFY, "declared-change"), NOTIFY),  # rule 2 never
        ({}, Telling(None, "silenced"), None),  # rule 1 never
    ],
)  # fmt: skip
def test_policy_routes_change_rules_5_and_6_and_the_others_only_by_name(
    when: dict[str, object], told: Telling, urgency: str | None
) -> None:
    raw = Policy(
        version="v",
        routes=({"name": "r", "when": when, "page": "action"},),
        calendars={"night": {"days": ["mon"], "from": "00:00", "to": "06:00"}},
    )
    policy, problems = check(raw)
    assert problems == []
    assert policy is not None
    thursday = 12 * 3_600_000
    assert by_policy(told, CTX, policy, thursday).urgency == urgency


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"defaults": {"hold_s": -1}}, "defaults: hold_s is -1.0; it must be a number from 0 on"),
        ({"defaults": {"page_confidence": 7}}, "it is a ratio from 0 to 1"),
        ({"defaults": {"holds": 1}}, "defaults: contains unknown field 'holds'"),
        ({"routes": [{"name": "a", "page": "impact"}, {"name": "a", "page": "impact"}]}, "routes[1].name: 'a' stands here twice"),
        ({"routes": [{"name": "a"}]}, "routes[0]: says nothing"),
        ({"routes": [{"name": "a", "page": "boss"}]}, "'boss' is no role"),
        (
            {"routes": [{"name": "a", "page": "impact", "when": {"weather": 1}}]},
            "routes[0].when: contains unknown field 'weather'",
        ),
        ({"routes": [{"name": "a", "page": "impact", "when": {"outside": "x"}}]}, "calendar 'x' is not defined"),
        ({"routes": [{"name": "a", "page": "impact", "when": {"objective": "bad"}}]}, "'bad' is none of fine"),
        ({"routes": [{"name": "a", "page": "impact", "when": {"urgency": ["loud"]}}]}, "'loud' is none of page"),
        ({"automation": {"freeze": [{"calendar": "x"}]}}, "automation.freeze[0]: calendar 'x' is not defined"),
        ({"automation": {"grants": [{"name": "g", "remedy": "r", "drilled_within": "3 months"}]}}, "write days, such as 90d"),
        ({"calendars": {"x": {"from": "soon", "to": "later"}}}, "calendars.x: 'soon' is no time"),
        ({"realms": {"sre": ["everything"]}}, "realms.sre: 'everything' is none of silence"),
    ],
)
def test_a_bad_policy_says_where_and_never_replaces_a_good_one(policy: dict[str, object], problem: str) -> None:
    book = PolicyBook(Rows())
    good = Policy(version="good", defaults={"hold_s": 60})
    assert book.put(b"good", good) == []
    problems = book.put(b"bad", Policy(version="bad", **policy))  # type: ignore[arg-type]
    assert len(problems) == 1
    assert problem in problems[0]
    assert (book.current.version, book.current.numbers.hold_s, book.problems) == ("good", 60, tuple(problems))
    book.put(None, None)
    assert book.current == DEFAULT


def test_a_policy_is_the_same_after_recovery() -> None:
    rows = Rows()
    raw = b'{"version":"v7","defaults":{"settle_s":5}}'
    PolicyBook(rows).put(raw, Policy(version="v7", defaults={"settle_s": 5}))
    again = PolicyBook(Rows())
    again.load(rows.changed[("controls", "|policy")] or b"")
    assert again.current == InForce(version="v7", numbers=again.current.numbers)
    assert again.current.numbers.settle_s == 5


NOW, MIN = 1_000_000_000, 60_000
REPEAT = 10 * MIN


@pytest.mark.parametrize(
    ("said", "news", "firing", "reason"),
    [
        (None, "234", True, "first"),  # nothing before
        (None, "234", False, None),  # nothing before, and only resolved
        (Said("123", NOW), "234", True, "changed"),  # another set
        (Said("123", None), "123", True, "never-said"),  # no time in the log
        (Said("123", NOW - 9 * MIN), "123", True, None),  # the same before the interval
        (Said("123", NOW - 11 * MIN), "123", True, "repeat"),  # the same after it
        (Said("123", NOW - 11 * MIN, True), "345", False, None),  # another resolved set, nothing firing
        (Said("12", NOW - 9 * MIN), "12", True, None),  # one symptom less is no news
        (Said("12", NOW - 9 * MIN), "1", True, "changed"),  # one team less is
        (Said("12", NOW - 9 * MIN), "", False, "ended"),  # nothing fires any more
        (Said("12", NOW - 11 * MIN), "", False, "ended"),  # the same, when a repeat was due too
    ],
)
def test_the_eleven_rows_of_alertmanagers_dedup_stage(said: Said | None, news: str, firing: bool, reason: str | None) -> None:
    assert needs_update(said, news=news, firing=firing, repeats=True, repeat_ms=REPEAT, now_ms=NOW) == reason


@pytest.mark.parametrize(
    ("said", "firing", "moment", "repeats", "reason"),
    [
        (Said("1", NOW), True, True, True, "moment"),
        (Said("1", NOW - 11 * MIN), True, False, False, None),  # acknowledged, or no page open
        (Said("1", NOW, True), False, True, True, "moment"),  # a late symptom amends what is over
        (Said("1", NOW, True), True, False, True, "changed"),  # it came back
    ],
)
def test_moments_and_endings(said: Said, firing: bool, moment: bool, repeats: bool, reason: str | None) -> None:
    assert needs_update(said, news="1", firing=firing, moment=moment, repeats=repeats, repeat_ms=REPEAT, now_ms=NOW) == reason


MONDAY = 4 * 86_400_000  # 5 January 1970
H = 3_600_000


@pytest.mark.parametrize(
    ("calendar", "at", "on"),
    [
        ({"days": ["mon"], "from": "08:00", "to": "18:00"}, MONDAY + 8 * H, True),
        ({"days": ["mon"], "from": "08:00", "to": "18:00"}, MONDAY + 18 * H, False),
        ({"days": ["tue"], "from": "08:00", "to": "18:00"}, MONDAY + 9 * H, False),
        ({"days": ["mon"], "from": "08:00", "to": "18:00", "utc_offset": "+02:00"}, MONDAY + 6 * H, True),
        ({"days": ["sun"], "from": "22:00", "to": "06:00"}, MONDAY + 5 * H, True),  # Sunday's night
        ({"days": ["mon"], "from": "22:00", "to": "06:00"}, MONDAY + 5 * H, False),
        ({"from": "1970-01-05T00:00:00Z", "to": "1970-01-06T00:00:00+01:00"}, MONDAY + 22 * H, True),
        ({"from": "1970-01-05T00:00:00Z", "to": "1970-01-06T00:00:00+01:00"}, MONDAY + 23 * H, False),
    ],
)
def test_calendars(calendar: dict[str, object], at: int, on: bool) -> None:
    assert read_calendar([calendar]).on(at) is on


@pytest.mark.parametrize(
    "calendar",
    [{"from": "2026-01-01T00:00:00", "to": "2026-01-02T00:00:00Z"}, {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
     {"days": ["lun"], "from": "08:00", "to": "09:00"}, {"days": ["mon"], "from": "8 am", "to": "09:00"}, 7, [[]]],
)  # fmt: skip
def test_a_calendar_that_cannot_be_used_is_refused(calendar: object) -> None:
    with pytest.raises(CalendarError):
        read_calendar(calendar)


def test_an_expired_silence_stays_expired_after_recovery_and_is_forgotten_at_last() -> None:
    rows = Rows()
    controls = Controls(rows)
    controls.put("silence/s", Control(kind="silence", at_ms=10, by="a", matchers={"cause": "*"}, until_ms=20), "sre")
    again = Controls(Rows())
    for (_, key), value in rows.changed.items():
        again.load(key.partition("|")[2], value or b"")
    assert [s.realm for s in again.silences(19)] == ["sre"]
    assert again.silences(20) == again.silences(9) == []
    again.expire(20 + 31 * 86_400_000)
    assert again.silences(15) == []


def test_one_realm_cannot_lift_the_silence_of_another() -> None:
    controls = Controls(Rows())
    controls.put("silence/s", Control(kind="silence", at_ms=10, by="a", matchers={"cause": "*"}, until_ms=20), "sre")
    controls.put("silence/s", None, "dev")
    assert len(controls.silences(15)) == 1
    controls.put("silence/s", None, "sre")
    assert controls.silences(15) == []


@pytest.mark.parametrize(
    ("ms", "text"),
    [(1_795_427_349_001, "2026-11-23T09:49:09.001Z"), (0, "1970-01-01T00:00:00.000Z"), (2**53, "9999-12-31T23:59:59.999Z")],
)
def test_times_are_rfc_3339(ms: int, text: str) -> None:
    assert rfc3339(ms) == text

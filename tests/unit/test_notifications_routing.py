"""Who hears of what, and when."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.errors import InvalidInput
from dataspoke.quality.model import Alert, AlertChange, AlertState, Check, Metric, Severity
from dataspoke.quality.notifications.model import (
    Channel,
    ChannelKind,
    DatasetFacts,
    Event,
    Filter,
    Outgoing,
    Preferences,
    QuietHours,
    QuietWindow,
    Scope,
    Subscription,
    Target,
    Weekday,
)
from dataspoke.quality.notifications.quiet import quiet_until, require_usable
from dataspoke.quality.notifications.routing import (
    AFTERMATH,
    Audience,
    Knowledge,
    plan,
    recipients,
)

# A Tuesday.
NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
RAW = "urn:li:dataset:(urn:li:dataPlatform:postgres,raw.orders,PROD)"
JANE, JOE = "urn:li:corpuser:jane", "urn:li:corpuser:joe@example.com"
SALES = "urn:li:corpGroup:sales"
FACTS = DatasetFacts(
    URN,
    "shop.orders",
    "urn:li:dataPlatform:postgres",
    owners=(JANE, SALES),
    tags=("urn:li:tag:gold",),
    domain="urn:li:domain:shop",
    owner_names=("Jane Doe", "Sales"),
)
SLACK = Channel("slack", ChannelKind.SLACK)
MAIL = Channel("mail", ChannelKind.SMTP, recipient_domains=("example.com",))
ALWAYS = tuple(Weekday)
NIGHTS = QuietHours("Europe/Berlin", (QuietWindow(ALWAYS, time(22), time(7)),))


def alert(number: int = 1, urn: str = URN, **changes: object) -> Alert:
    made = Alert(
        id=UUID(int=number),
        urn=urn,
        check=Check(Metric.ROW_COUNT),
        state=AlertState.OPEN,
        dedupe_key=str(number),
        opened_at=NOW - timedelta(minutes=5),
        observed_at=NOW,
        value=400,
        message="shop.orders: row count was 400 rows.",
        version=1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def audience(*channels: Channel, default: str | None = None, **people: Preferences) -> Audience:
    return Audience({one.name: one for one in channels}, tuple(people.values()), default)


def planned(
    *alerts: Alert,
    to: Audience,
    told: dict[UUID, dict[Target, Event]] | None = None,
    causes: Sequence[Alert] = (),
    now: datetime = NOW,
) -> Sequence[Outgoing]:
    changes = [AlertChange(cursor, one) for cursor, one in enumerate(alerts, 1)]
    facts = {URN: FACTS, RAW: replace(FACTS, urn=RAW, name="raw.orders")}
    knowledge = Knowledge(facts, told or {}, {one.id: one for one in causes})
    return plan(changes, to, knowledge, "http://datahub.test/", now)


def told(outgoing: Sequence[Outgoing]) -> list[tuple[int, Target, Event]]:
    return [
        (one.notification.message.alert_id.int, one.target, one.notification.message.event)
        for one in outgoing
    ]


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (Filter(), True),
        (Filter(severity_at_least=Severity.ERROR), True),
        (Filter(platforms=("urn:li:dataPlatform:postgres",)), True),
        (Filter(platforms=("urn:li:dataPlatform:kafka",)), False),
        (Filter(domains=("urn:li:domain:shop", "urn:li:domain:hr")), True),
        (Filter(domains=("urn:li:domain:hr",)), False),
        (Filter(tags=("urn:li:tag:gold",)), True),
        (Filter(tags=("urn:li:tag:silver",)), False),
        (Filter(owners=(SALES,)), True),
        (Filter(owners=(JOE,)), False),
        (Filter(tags=("urn:li:tag:gold",), domains=("urn:li:domain:hr",)), False),
    ],
)
def test_a_channel_is_sent_what_passes_its_filter(wanted: Filter, passes: bool) -> None:
    found = recipients(alert(), FACTS, audience(replace(SLACK, filter=wanted)), NOW)
    assert found == ({Target("slack"): None} if passes else {})


def test_a_warning_is_below_an_error() -> None:
    errors = replace(SLACK, filter=Filter(severity_at_least=Severity.ERROR))
    assert not recipients(alert(severity=Severity.WARN), FACTS, audience(errors), NOW)


def test_mail_is_broadcast_to_every_recipient_and_a_channel_without_filter_is_silent() -> None:
    mail = replace(MAIL, filter=Filter(), recipients=("a@example.com", "b@example.com"))
    found = recipients(alert(), FACTS, audience(SLACK, mail), NOW)
    assert set(found) == {Target("mail", "a@example.com"), Target("mail", "b@example.com")}


def test_owners_and_members_of_owning_teams_hear_what_they_asked_for() -> None:
    mine, ours, errors = Target("slack"), Target("mail", "jane@example.com"), Target("pager")
    people = audience(
        SLACK,
        MAIL,
        Channel("pager", ChannelKind.PAGERDUTY),
        jane=Preferences(JANE, (Subscription(Scope.OWNED, mine),)),
        joe=Preferences(JOE, (Subscription(Scope.TEAMS, ours),), teams=(SALES,)),
        sales=Preferences(SALES, (Subscription(Scope.OWNED, errors, Severity.ERROR),)),
        away=Preferences(
            "urn:li:corpuser:away",
            (
                Subscription(Scope.OWNED, Target("mail", "away@example.com")),
                Subscription(Scope.TEAMS, Target("mail", "away@example.com")),
            ),
            teams=("urn:li:corpGroup:other",),
        ),
    )
    assert set(recipients(alert(), FACTS, people, NOW)) == {mine, ours, errors}
    warning = alert(severity=Severity.WARN)
    assert set(recipients(warning, FACTS, people, NOW)) == {mine, ours}


def test_a_channel_that_the_settings_name_no_more_is_left_out() -> None:
    gone = Preferences(JANE, (Subscription(Scope.OWNED, Target("gone")),))
    assert recipients(alert(), FACTS, audience(SLACK, jane=gone), NOW) == {}


def test_owners_who_said_nothing_hear_by_the_default_only_where_it_is_set() -> None:
    assert recipients(alert(), FACTS, audience(SLACK, MAIL), NOW) == {}
    by_slack = audience(SLACK, default="slack")
    assert recipients(alert(), FACTS, by_slack, NOW) == {Target("slack"): None}
    # Only who logs in by an address is known to have one, and only of a domain that is allowed.
    facts = replace(FACTS, owners=(JANE, JOE, SALES, "urn:li:corpuser:x@elsewhere.com"))
    by_mail = audience(MAIL, default="mail")
    assert recipients(alert(), facts, by_mail, NOW) == {Target("mail", "joe@example.com"): None}
    nothing = Preferences(JOE)
    assert recipients(alert(), facts, audience(MAIL, default="mail", joe=nothing), NOW) == {}


# --- one message for each transition and target ---


def test_a_target_named_by_many_is_told_once_and_at_the_earliest_time() -> None:
    both = (Subscription(Scope.OWNED, Target("slack")), Subscription(Scope.TEAMS, Target("slack")))
    night = NOW.replace(hour=23)
    to = audience(
        SLACK,
        jane=Preferences(JANE, both, NIGHTS, (SALES,)),
        sales=Preferences(SALES, both[:1]),
    )
    (one,) = planned(alert(), to=to, now=night)
    assert (one.target, one.not_before) == (Target("slack"), None)


def test_what_follows_goes_to_those_who_were_told_and_no_event_twice() -> None:
    to = audience(replace(SLACK, filter=Filter()))
    other = Target("pager")
    acknowledged = alert(state=AlertState.ACKNOWLEDGED, acknowledged_by=JANE)
    assert told(planned(acknowledged, to=to)) == []
    known = {UUID(int=1): {other: Event.TRIGGER}}
    assert told(planned(acknowledged, to=to, told=known)) == [(1, other, Event.ACKNOWLEDGE)]
    snoozed = alert(state=AlertState.SNOOZED, snoozed_until=NOW)
    known = {UUID(int=1): {other: Event.ACKNOWLEDGE}}
    assert told(planned(snoozed, to=to, told=known)) == []
    for state in (AlertState.RESOLVED, AlertState.CLOSED):
        ended = alert(state=state)
        assert told(planned(ended, to=to, told=known)) == [(1, other, Event.RESOLVE)]
    # Said again of the same: a cause was found, or somebody gave feedback.
    known = {UUID(int=1): {Target("slack"): Event.TRIGGER}}
    assert told(planned(alert(), to=to, told=known)) == []
    # Its snooze is over, or it came back.
    for last in (Event.ACKNOWLEDGE, Event.RESOLVE):
        known = {UUID(int=1): {Target("slack"): last}}
        assert told(planned(alert(), to=to, told=known)) == [(1, Target("slack"), Event.TRIGGER)]


def test_what_opened_and_resolved_before_anybody_was_told_stays_untold() -> None:
    to = audience(replace(SLACK, filter=Filter()))
    assert planned(alert(), alert(state=AlertState.RESOLVED), to=to) == []


def test_a_victim_is_told_only_to_who_does_not_hear_of_its_cause() -> None:
    shop_only = Filter(tags=("urn:li:tag:gold",))
    to = audience(replace(SLACK, filter=Filter()), replace(SLACK, name="shop", filter=shop_only))
    cause = alert(2, RAW, message="raw.orders: nothing came.")
    victim = alert(1, cause=cause.id)
    # Within one batch, whatever their order, where both channels hear of the cause …
    assert told(planned(victim, cause, to=to, causes=[cause])) == [
        (2, Target("shop"), Event.TRIGGER),
        (2, Target("slack"), Event.TRIGGER),
    ]
    # … and where one was told of it before.
    known = {cause.id: {Target("slack"): Event.TRIGGER}}
    outgoing = planned(victim, to=to, told=known, causes=[cause])
    assert told(outgoing) == [(1, Target("shop"), Event.TRIGGER)]
    named = outgoing[0].notification.message.cause
    assert named is not None
    assert (named.dataset, named.summary) == ("raw.orders", "raw.orders: nothing came.")


def test_what_a_cause_leaves_behind_is_told_a_day_later() -> None:
    to = audience(
        replace(SLACK, filter=Filter()),
        MAIL,
        jane=Preferences(JANE, (Subscription(Scope.OWNED, Target("mail", "jane@example.com")),)),
    )
    known = {UUID(int=1): {Target("slack"): Event.TRIGGER}}
    # It was told to one when it opened; its cause, of which the other heard, has ended since.
    (one,) = planned(alert(version=3), to=to, told=known)
    assert one.target == Target("mail", "jane@example.com")
    assert one.not_before == NOW + AFTERMATH
    # What opens in the same batch in which its cause was found, and lost, is told at once.
    batch = [alert(version=1), alert(version=2)]
    assert {one.not_before for one in planned(*batch, to=to)} == {None}
    # What comes back to those who know it is told at once too.
    known = {UUID(int=1): dict.fromkeys(recipients(alert(), FACTS, to, NOW), Event.RESOLVE)}
    again = planned(alert(version=5, reopened=1, reopened_at=NOW), to=to, told=known)
    assert [one.not_before for one in again] == [None, None]


def test_the_same_plan_has_the_same_ids() -> None:
    to = audience(replace(SLACK, filter=Filter()), replace(SLACK, name="other", filter=Filter()))
    first, again = planned(alert(), to=to), planned(alert(), to=to)
    ids = [one.notification.id for one in first]
    assert ids == [one.notification.id for one in again]
    assert len(set(ids)) == 2


def test_a_message_says_what_is_known() -> None:
    to = audience(replace(SLACK, filter=Filter()))
    (one,) = planned(alert(low=3800, high=4200, expected=4000), to=to)
    message = one.notification.message
    assert (message.dataset, message.platform, message.check) == (
        "shop.orders",
        "postgres",
        "row_count",
    )
    assert message.owners == ("Jane Doe", "Sales")
    assert message.link == (
        "http://datahub.test/dataset/"
        "urn%3Ali%3Adataset%3A%28urn%3Ali%3AdataPlatform%3Apostgres%2Cshop.orders%2CPROD%29"
    )


def test_an_alert_on_what_left_the_hub_is_still_ended() -> None:
    gone = alert(state=AlertState.RESOLVED, urn=URN.replace("orders", "gone"))
    known = {gone.id: {Target("slack"): Event.TRIGGER}}
    (one,) = planned(gone, to=audience(SLACK), told=known)
    assert (one.notification.message.dataset, one.notification.message.platform) == (
        "shop.gone",
        "postgres",
    )


# --- quiet hours ---


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-24 21:59", None),
        ("2026-11-24 22:00", "2026-11-25 07:00"),
        ("2026-11-25 03:00", "2026-11-25 07:00"),
        ("2026-11-25 07:00", None),
        # The clocks go forward in this night, and back in the other.
        ("2026-03-28 23:00", "2026-03-29 07:00"),
        ("2026-10-24 23:00", "2026-10-25 07:00"),
    ],
)
def test_nights_are_quiet_by_the_wall_clock(now: str, until: str | None) -> None:
    assert quiet_until(NIGHTS, berlin(now)) == (None if until is None else berlin(until))


def test_windows_that_touch_are_one() -> None:
    weekend = QuietWindow((Weekday.SATURDAY, Weekday.SUNDAY), time(0), time(0))
    hours = replace(NIGHTS, windows=(*NIGHTS.windows, weekend))
    friday_night = berlin("2026-11-27 23:00")
    assert quiet_until(hours, friday_night) == berlin("2026-11-30 07:00")


def test_errors_pierce_quiet_hours_where_that_is_wished() -> None:
    night = NOW.replace(hour=23)
    mine = (Subscription(Scope.OWNED, Target("slack")),)
    for pierce, severity, held in (
        (False, Severity.ERROR, True),
        (True, Severity.ERROR, False),
        (True, Severity.WARN, True),
    ):
        quiet = replace(NIGHTS, errors_pierce=pierce)
        to = audience(SLACK, jane=Preferences(JANE, mine, quiet))
        (one,) = planned(alert(severity=severity), to=to, now=night)
        assert one.not_before == (datetime(2026, 11, 25, 6, tzinfo=UTC) if held else None)


WINDOWS = st.builds(
    QuietWindow,
    days=st.lists(st.sampled_from(Weekday), min_size=1, unique=True).map(tuple),
    start=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
    end=st.times().map(lambda t: t.replace(second=0, microsecond=0)),
)
HOURS = st.builds(
    QuietHours,
    time_zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
    windows=st.lists(WINDOWS, max_size=4).map(tuple),
)


@given(HOURS, st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)))
def test_quiet_hours_end_when_it_is_loud(hours: QuietHours, now: datetime) -> None:
    try:
        require_usable(hours)
    except InvalidInput:
        return
    until = quiet_until(hours, now)
    if until is not None:
        assert until > now
        assert quiet_until(hours, until) is None
        assert quiet_until(hours, until - timedelta(microseconds=1)) == until


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (QuietHours("Mars/Olympus", ()), "no time zone 'Mars/Olympus'"),
        (QuietHours("../etc/passwd", ()), "no time zone"),
        (QuietHours("Europe", ()), "no time zone"),
        (QuietHours("UTC", (QuietWindow((), time(1), time(2)),)), "no day"),
        (QuietHours("UTC", (QuietWindow(ALWAYS, time(0), time(0)),)), "the whole week"),
        (
            QuietHours(
                "UTC",
                (
                    QuietWindow(ALWAYS, time(6), time(18)),
                    QuietWindow(ALWAYS, time(18), time(6)),
                ),
            ),
            "the whole week",
        ),
    ],
)
def test_quiet_hours_that_cannot_be_are_refused(hours: QuietHours, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        require_usable(hours)

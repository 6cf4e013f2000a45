"""What DataSpoke does when DataHub is slow, overloaded, away, or not a DataHub at all."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dataspoke.adapters.datahub.hub import DataHub
from dataspoke.errors import (
    DataSpokeError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
    Unauthenticated,
)
from dataspoke.ports.hub import Actor, HubInfo, RejectedEvent, Scores, Topic
from dataspoke.quality.model import Check, Judgement, Metric, Point, Result, Status
from dataspoke.settings import HubSettings
from tests.support.hub_ports import DataHubUnderTest, dataset_urn
from tests.support.scripted import Answer, scripted_server

T0 = datetime(2026, 3, 1, tzinfo=UTC)
ORDERS = dataset_urn("orders")

OVERLOADED = Answer({"message": "DATABASE_TRANSACTION_CONFLICT"}, 503, {"Retry-After": "0"})
NOBODY = Answer({"data": {"entities": []}})
WRITTEN = Answer({"value": "success"})
RESULT = Result(
    ORDERS,
    Check(Metric.ROW_COUNT),
    Judgement(Point(T0, 1.0), Status.FAIL, "band", 5, 4, 6, 0.9),
    T0,
)


def config(version: str) -> dict[str, Any]:
    return {
        "versions": {"acryldata/datahub": {"version": version}},
        "datahub": {"serverType": "prod"},
    }


def settings(url: str, **others: object) -> HubSettings:
    return HubSettings.model_validate({"url": url, "token": "secret-token", **others})


# Each call of the port, with what a hub answers when it answers.
CALLS: dict[str, tuple[Callable[[DataHub], Awaitable[object]], Answer]] = {
    "info": (lambda hub: hub.info(), Answer(config("v1.6.0"))),
    "access": (lambda hub: hub.access(Actor("urn:li:corpuser:x", "token"), [ORDERS]), NOBODY),
    "scroll": (
        lambda hub: anext(aiter(hub.scroll(10)), None),
        Answer({"data": {"scrollAcrossEntities": {"nextScrollId": None, "searchResults": []}}}),
    ),
    "datasets": (lambda hub: hub.datasets([ORDERS]), NOBODY),
    "profiles": (lambda hub: hub.profiles([ORDERS], T0), NOBODY),
    "operations": (lambda hub: hub.operations([ORDERS], T0), NOBODY),
    "lineage": (lambda hub: hub.lineage([ORDERS]), NOBODY),
    "write_results": (lambda hub: hub.write_results([RESULT]), WRITTEN),
    "poll": (
        lambda hub: hub.poll(Topic.VERSIONED, None, 10, timedelta(0)),
        Answer({"offsetId": "1", "count": 0, "events": []}),
    ),
}  # fmt: skip
each_call = pytest.mark.parametrize("name", CALLS)


@each_call
@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_may_pass_is_tried_again(name, status):
    call, answer = CALLS[name]
    failing = Answer("<html>busy</html>", status, {"Retry-After": "0"})
    with scripted_server(failing, failing, answer) as server:
        async with DataHub.open(settings(server.url)) as hub:
            await call(hub)

    assert len(server.requests) == 3


@each_call
async def test_after_the_last_try_the_hub_counts_as_unavailable(name):
    call, _ = CALLS[name]
    with scripted_server(OVERLOADED) as server:
        async with DataHub.open(settings(server.url, max_attempts=2)) as hub:
            with pytest.raises(DependencyUnavailable, match="503") as raised:
                await call(hub)

    assert raised.value.port == "hub"
    assert len(server.requests) == 2


@each_call
@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (400, DependencyRejected, "HTTP 400"),
        (403, DependencyRejected, "lacks a privilege"),
        (404, DependencyRejected, "DATASPOKE_HUB__URL"),
        (500, DependencyUnavailable, "HTTP 500"),
    ],
)
async def test_a_refusal_is_not_tried_again(name, status, error, message):
    call, _ = CALLS[name]
    # With a body that looks like an answer, as an error page may.
    with scripted_server(Answer({"data": {"entities": []}, "offsetId": "1"}, status)) as server:
        async with DataHub.open(settings(server.url)) as hub:
            with pytest.raises(error, match=message):
                await call(hub)

    assert len(server.requests) == 1


@each_call
async def test_a_refused_token_is_the_callers_or_ones_own(name):
    call, _ = CALLS[name]
    with scripted_server(Answer("", 401)) as server:
        async with DataHub.open(settings(server.url)) as hub:
            if name == "access":
                with pytest.raises(Unauthenticated):
                    await call(hub)
            else:
                with pytest.raises(DependencyRejected, match="DATASPOKE_HUB__TOKEN"):
                    await call(hub)

    assert len(server.requests) == 1


@each_call
async def test_a_hub_that_does_not_answer_costs_its_time_and_no_more(name):
    call, _ = CALLS[name]
    with scripted_server(Answer(hangs=True)) as server:
        async with DataHub.open(settings(server.url, timeout_s=0.2, max_attempts=2)) as hub:
            began = time.monotonic()
            with pytest.raises(DependencyTimeout):
                await call(hub)
            assert 0.4 <= time.monotonic() - began < 15
            # The server may be slower to take a request than the client to give it up.
            while len(server.requests) < 2:
                assert time.monotonic() - began < 15
                await asyncio.sleep(0.01)

    assert len(server.requests) == 2


@each_call
async def test_a_hub_that_is_away_is_unavailable(name):
    call, _ = CALLS[name]
    with socket.socket() as unused:
        # Bound and not listening: nobody else takes the port, and nobody answers.
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with DataHub.open(settings(url, timeout_s=1, max_attempts=2)) as hub:
            with pytest.raises(DependencyUnavailable, match="DATASPOKE_HUB__URL"):
                await call(hub)


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"write_results"}))
async def test_what_is_not_datahubs_gms_is_named(name):
    call, _ = CALLS[name]
    with scripted_server(Answer("<html>Welcome</html>")) as server:
        async with DataHub.open(settings(server.url)) as hub:
            with pytest.raises(DependencyRejected, match="not DataHub's GMS"):
                await call(hub)

    assert len(server.requests) == 1


async def test_it_comes_back_when_the_hub_asks_it_to():
    busy = Answer("", 429, {"Retry-After": "1"})
    with scripted_server(busy, NOBODY) as server:
        async with DataHub.open(settings(server.url)) as hub:
            began = time.monotonic()
            await hub.datasets([ORDERS])

    assert 0.99 <= time.monotonic() - began < 10


async def test_a_hub_that_asks_for_an_hour_is_not_waited_for():
    away = Answer("", 503, {"Retry-After": "3600"})
    with scripted_server(away) as server:
        async with DataHub.open(settings(server.url, timeout_s=1, max_attempts=3)) as hub:
            began = time.monotonic()
            with pytest.raises(DependencyUnavailable):
                await hub.datasets([ORDERS])

    assert time.monotonic() - began < 30
    assert len(server.requests) == 3


async def test_a_list_that_breaks_off_is_no_end_of_the_list():
    hits = [{"entity": {"urn": ORDERS}}]
    page = {"nextScrollId": "next", "searchResults": hits}
    with scripted_server(
        Answer({"data": {"scrollAcrossEntities": page}}),
        Answer({"errors": [{"message": "the scroll has expired"}], "data": None}),
    ) as server:
        async with DataHub.open(settings(server.url)) as hub:
            pages = hub.scroll(1)
            assert await anext(pages) == [ORDERS]
            with pytest.raises(DependencyRejected, match="expired"):
                await anext(pages)

    assert server.requests[1]["variables"]["scrollId"] == "next"


async def test_definitions_are_looked_at_again_after_scores_were_refused():
    properties = [
        f"urn:li:structuredProperty:dataspoke{name}Score" for name in ("Quality", "Health")
    ]
    known = Answer({"data": {"entities": [{"urn": urn, "exists": True} for urn in properties]}})
    there = Answer({"data": {"entities": [{"urn": ORDERS, "exists": True}]}})
    refused = Answer({"message": "is soft deleted"}, 422)
    answers = known, there, refused, known, there, WRITTEN, there, WRITTEN
    with scripted_server(*answers) as server:
        async with DataHub.open(settings(server.url)) as hub:
            with pytest.raises(DependencyRejected):
                await hub.write_scores([Scores(ORDERS, 1.0, 1.0)])
            await hub.write_scores([Scores(ORDERS, 1.0, 1.0)])
            await hub.write_scores([Scores(ORDERS, 2.0, 2.0)])

    assert len(server.requests) == len(answers)
    asked = [request.get("variables", {}).get("urns") for request in server.requests]
    assert asked == [properties, [ORDERS], None, properties, [ORDERS], None, [ORDERS], None]


async def test_no_message_holds_the_token():
    messages = []
    for answer in (Answer("", 401), Answer("", 503, {"Retry-After": "0"}), Answer("{")):
        with scripted_server(answer) as server:
            async with DataHub.open(settings(server.url, max_attempts=1)) as hub:
                for call, _ in CALLS.values():
                    try:
                        await call(hub)
                    except DataSpokeError as error:
                        messages.append(error.public_message)

    assert len(messages) > 20
    assert "secret-token" not in "".join(messages)


@pytest.mark.parametrize("version", ["v1.2.0", "1.7.0.1", "v2.0", "head", "null"])
async def test_a_datahub_that_is_new_enough_is_told(version):
    with scripted_server(Answer(config(version))) as server:
        async with DataHub.open(settings(server.url)) as hub:
            assert await hub.info() == HubInfo(version, "prod", stand_in=False)


@pytest.mark.parametrize("version", ["v1.1.0", "v0.15.0.1", "0.9"])
async def test_a_datahub_that_is_too_old_is_refused_with_what_to_do(version):
    with scripted_server(Answer(config(version))) as server:
        async with DataHub.open(settings(server.url)) as hub:
            with pytest.raises(DependencyRejected, match=rf"{version}.*1\.2 or later"):
                await hub.info()


@pytest.mark.parametrize("wait_s", [0.0, 0.5, 3, 60])
async def test_a_poll_waits_as_long_as_was_asked_and_datahub_allows(wait_s):
    with scripted_server(Answer({"offsetId": "next", "events": []})) as server:
        async with DataHub.open(settings(server.url)) as hub:
            page = await hub.poll(Topic.TIMESERIES, "a b", 9000, timedelta(seconds=wait_s))

    (asked,) = server.requests
    assert page.cursor == "next"
    assert f"pollTimeoutSeconds={min(int(wait_s), 10)}&" in asked
    assert "limit=5000" in asked
    assert "offsetId=a+b" in asked
    assert "topic=MetadataChangeLog_Timeseries_v1" in asked


async def test_a_poll_ends_as_soon_as_there_is_something():
    async with DataHubUnderTest.open() as opened:
        start = await opened.hub.poll(Topic.VERSIONED, None, 10, timedelta(0))
        began = time.monotonic()
        waiting = asyncio.create_task(
            opened.hub.poll(Topic.VERSIONED, start.cursor, 10, timedelta(seconds=10))
        )
        await asyncio.to_thread(opened.describe, ORDERS, "news")

        assert (await waiting).events
        assert time.monotonic() - began < 8


GOOD = (
    '{"entityType": "dataset", "entityUrn": {"string": "%s"}, "changeType": "UPSERT",'
    ' "aspectName": {"string": "status"}, "unheardOf": {"com.linkedin.New": {"a": 1}},'
    ' "systemMetadata": {"com.linkedin.pegasus2avro.mxe.SystemMetadata":'
    ' {"runId": {"string": "%s"}}}, "created": null}'
)


async def test_what_cannot_be_read_is_handed_on_and_holds_nothing_up():
    texts = [
        "not JSON",
        "[]",
        "{}",
        '{"entityType": "dataset", "entityUrn": null, "changeType": "UPSERT"}',
        '{"entityType": "dataset", "entityUrn": {"string": 1}, "systemMetadata": "x"}',
        GOOD % (ORDERS, "someone"),
        GOOD % (ORDERS, "dataspoke"),
    ]
    events = [{"contentType": "application/json", "value": text} for text in texts]
    with scripted_server(Answer({"offsetId": "6", "events": events})) as server:
        async with DataHub.open(settings(server.url)) as hub:
            page = await hub.poll(Topic.VERSIONED, "0", 10, timedelta(0))

    assert page.cursor == "6"
    assert [(event.urn, event.run_id, event.actor) for event in page.events] == [
        (ORDERS, "someone", None)
    ]
    assert [event.text for event in page.rejected] == texts[:5]
    assert all(isinstance(event, RejectedEvent) and event.error for event in page.rejected)

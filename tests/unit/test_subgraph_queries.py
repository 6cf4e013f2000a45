"""Reads through GraphQL: what is answered, what is null, and how often the services are asked."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dataspoke.errors import DependencyUnavailable
from tests.support.subgraph import EDITOR, NOW, VIEWER, Altered, Subgraph, alert_of, urn

EVERYTHING = """
    quality { status score results(first: 2) { value } alerts { id } }
    healthScore { value findings { rule } }
    similarDatasets(first: 3) { dataset { urn healthScore { value } } }
"""
LEADERBOARD = """
    query ($order: HealthLeaderboardOrder! = LOWEST_FIRST, $first: Int!, $after: String) {
      healthLeaderboard(order: $order, first: $first, after: $after) {
        edges { cursor node { score { value } dataset { urn quality { status } } } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }
"""


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph()
    await made.put("orders", "payroll", "stock", failing=["orders"])
    return made


async def test_a_dataset_has_a_verdict_a_score_and_neighbours(subgraph: Subgraph) -> None:
    answer = await subgraph.entities(
        """
        urn
        quality {
          status score scannedAt
          results { metric status value expected low high score detector observedAt judgedAt }
          alerts { metric state value dataset { urn } }
        }
        healthScore { value scoredAt findings { rule weight achieved action } }
        similarDatasets(first: 1) { score why dataset { urn healthScore { value } } }
        """,
        ["orders"],
    )
    (found,) = answer["data"]["_entities"]
    assert found["urn"] == urn("orders")
    quality = found["quality"]
    assert (quality["status"], quality["score"]) == ("FAIL", 0.0)
    assert quality["scannedAt"] == NOW.isoformat()
    assert [result["metric"] for result in quality["results"]] == ["ROW_COUNT", "FRESHNESS"]
    assert quality["results"][0] == {
        "metric": "ROW_COUNT",
        "status": "FAIL",
        "value": 42.0,
        "expected": 40.0,
        "low": 30.0,
        "high": 50.0,
        "score": 0.5,
        "detector": "band",
        "observedAt": NOW.isoformat(),
        "judgedAt": NOW.isoformat(),
    }
    assert quality["alerts"] == [
        {"metric": "ROW_COUNT", "state": "OPEN", "value": 10.0, "dataset": {"urn": urn("orders")}}
    ]
    assert found["healthScore"] == {
        "value": 10.0,
        "scoredAt": NOW.isoformat(),
        "findings": [
            {"rule": "owner", "weight": 20.0, "achieved": 0.0, "action": "Name an owner."}
        ],
    }
    (neighbour,) = found["similarDatasets"]
    assert neighbour["why"] == ["similar in meaning"]
    assert neighbour["dataset"]["healthScore"]["value"] in (20.0, 30.0)


async def test_results_are_the_newest_of_each_metric(subgraph: Subgraph) -> None:
    answer = await subgraph.entities(
        "quality { one: results { observedAt } two: results(first: 2) { metric observedAt } }",
        ["orders"],
    )
    quality = answer["data"]["_entities"][0]["quality"]
    assert [result["observedAt"] for result in quality["one"]] == [NOW.isoformat()] * 2
    day_before = (NOW - timedelta(days=1)).isoformat()
    assert sorted((r["metric"], r["observedAt"]) for r in quality["two"]) == [
        (metric, time)
        for metric in ("FRESHNESS", "ROW_COUNT")
        for time in (day_before, NOW.isoformat())
    ]


async def test_what_was_never_judged_is_null_and_no_error(subgraph: Subgraph) -> None:
    answer = await subgraph.entities(EVERYTHING, ["unknown"])
    assert answer == {
        "data": {"_entities": [{"quality": None, "healthScore": None, "similarDatasets": []}]}
    }


async def test_the_leaderboard_is_read_from_either_end_in_pages(subgraph: Subgraph) -> None:
    first = (await subgraph.data(LEADERBOARD, first=2))["healthLeaderboard"]
    assert [edge["node"]["score"]["value"] for edge in first["edges"]] == [10.0, 20.0]
    assert first["edges"][0]["node"]["dataset"] == {
        "urn": urn("orders"),
        "quality": {"status": "FAIL"},
    }
    assert first["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": first["edges"][0]["cursor"],
        "endCursor": first["edges"][1]["cursor"],
    }
    rest = (await subgraph.data(LEADERBOARD, first=2, after=first["pageInfo"]["endCursor"]))[
        "healthLeaderboard"
    ]
    assert [edge["node"]["score"]["value"] for edge in rest["edges"]] == [30.0]
    assert rest["pageInfo"]["hasNextPage"] is False
    assert rest["pageInfo"]["hasPreviousPage"] is True
    highest = await subgraph.data(LEADERBOARD, order="HIGHEST_FIRST", first=1)
    assert highest["healthLeaderboard"]["edges"][0]["node"]["score"]["value"] == 30.0


async def test_an_empty_page_has_no_cursors() -> None:
    empty = Subgraph()
    empty.admit()
    page = (await empty.data(LEADERBOARD, first=5))["healthLeaderboard"]
    assert page["edges"] == []
    assert page["pageInfo"]["startCursor"] is None
    assert page["pageInfo"]["endCursor"] is None


async def test_alerts_are_kept_by_dataset_and_state_newest_first(subgraph: Subgraph) -> None:
    later = alert_of("stock", opened_at=NOW + timedelta(hours=1))
    await subgraph.save_alerts(later)
    query = """
        query ($urns: [String!], $states: [QualityAlertState!], $first: Int! = 20, $after: String) {
          qualityAlerts(urns: $urns, states: $states, first: $first, after: $after) {
            edges { cursor node { id state message dataset { urn } } }
            pageInfo { hasNextPage endCursor }
          }
        }
    """

    async def names(**variables: object) -> list[str]:
        page = (await subgraph.data(query, **variables))["qualityAlerts"]
        return [edge["node"]["dataset"]["urn"] for edge in page["edges"]]

    assert await names() == [urn("stock"), urn("orders")]
    assert await names(urns=[urn("orders")]) == [urn("orders")]
    assert await names(urns=[]) == []
    assert await names(states=["RESOLVED"]) == []
    assert await names(states=["OPEN", "ACKNOWLEDGED"]) == [urn("stock"), urn("orders")]
    first = (await subgraph.data(query, first=1))["qualityAlerts"]
    assert first["pageInfo"]["hasNextPage"] is True
    assert await names(first=1, after=first["pageInfo"]["endCursor"]) == [urn("orders")]


async def test_search_answers_by_words_and_meaning_and_is_filtered(subgraph: Subgraph) -> None:
    query = """
        query ($query: String!, $filters: KnowledgeSearchFilters) {
          knowledgeSearch(query: $query, filters: $filters, first: 1) {
            mode notice
            edges { node { score why dataset { urn quality { status } } } }
            pageInfo { hasNextPage }
          }
        }
    """
    found = (await subgraph.data(query, query="purchases"))["knowledgeSearch"]
    assert (found["mode"], found["notice"]) == ("HYBRID", None)
    (edge,) = found["edges"]
    assert edge["node"]["dataset"] == {"urn": urn("orders"), "quality": {"status": "FAIL"}}
    assert 0 < edge["node"]["score"] <= 1
    assert edge["node"]["why"]
    assert found["pageInfo"]["hasNextPage"] is True
    elsewhere = {"platforms": ["urn:li:dataPlatform:hive"]}
    nothing = await subgraph.data(query, query="purchases", filters=elsewhere)
    assert nothing["knowledgeSearch"]["edges"] == []


async def test_search_says_when_it_goes_by_words_only(subgraph: Subgraph) -> None:
    subgraph.embedder.failure = DependencyUnavailable("embedder", "The model is down.")
    query = '{ knowledgeSearch(query: "orders") { mode notice edges { node { why } } } }'
    found = (await subgraph.data(query))["knowledgeSearch"]
    assert found["mode"] == "LEXICAL"
    assert "does not answer" in found["notice"]
    assert found["edges"]


async def test_the_status_names_what_works_and_what_does_not(subgraph: Subgraph) -> None:
    query = """{ dataspokeStatus {
        version indexedDocuments oldestDueJobSeconds
        components { name state detail } hub { version serverType standIn } jobs { state count }
    } }"""
    status = (await subgraph.data(query, VIEWER))["dataspokeStatus"]
    assert status["indexedDocuments"] == 3
    assert {one["name"]: one["state"] for one in status["components"]} == {
        "hub": "REACHABLE",
        "store": "REACHABLE",
        "jobs": "REACHABLE",
        "vectors": "REACHABLE",
    }
    assert status["hub"] == {"version": "1.7.0", "serverType": "memory", "standIn": True}
    assert {one["state"] for one in status["jobs"]} == {"READY", "RUNNING", "DONE", "DEAD"}


async def test_a_broken_dependency_costs_only_the_fields_that_need_it(subgraph: Subgraph) -> None:
    async def scores_for(*_: object) -> Any:
        raise DependencyUnavailable("store", "PostgreSQL does not answer.")

    broken = subgraph.serving(health=Altered(subgraph.services.health, scores_for=scores_for))
    answer = await broken.entities(
        "urn quality { status } healthScore { value }", ["orders", "stock"]
    )
    assert answer["data"]["_entities"] == [
        {"urn": urn("orders"), "quality": {"status": "FAIL"}, "healthScore": None},
        {"urn": urn("stock"), "quality": {"status": "PASS"}, "healthScore": None},
    ]
    assert [
        (error["path"], error["message"], error["extensions"]) for error in answer["errors"]
    ] == [
        (
            ["_entities", place, "healthScore"],
            "PostgreSQL does not answer.",
            {"code": "DEPENDENCY_UNAVAILABLE"},
        )
        for place in (0, 1)
    ]


async def test_roots_fail_one_by_one(subgraph: Subgraph) -> None:
    answer = await subgraph.ask(
        '{ healthLeaderboard { edges { cursor } } qualityAlerts(after: "x") { edges { cursor } } }'
    )
    assert len(answer["data"]["healthLeaderboard"]["edges"]) == 3
    assert answer["data"]["qualityAlerts"] is None
    (error,) = answer["errors"]
    assert error["path"] == ["qualityAlerts"]
    assert error["extensions"] == {"code": "INVALID_INPUT"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "{ healthLeaderboard(first: 0) { edges { cursor } } }",
            "first must be 1 to 100; it is 0.",
        ),
        (
            "{ qualityAlerts(first: 101) { edges { cursor } } }",
            "first must be 1 to 100; it is 101.",
        ),
        (
            '{ qualityAlerts(urns: ["orders"]) { edges { cursor } } }',
            "'orders' is not a dataset urn",
        ),
        ('{ knowledgeSearch(query: "  ") { mode } }', "query is empty"),
        ('{ knowledgeSearch(query: "orders", after: "x") { mode } }', "`after` is not a cursor"),
        ('{ healthLeaderboard(after: "x") { edges { cursor } } }', "'x'"),
    ],
)
async def test_unusable_arguments_are_named(subgraph: Subgraph, query: str, message: str) -> None:
    answer = await subgraph.ask(query)
    (error,) = answer["errors"]
    assert message in error["message"]
    assert error["extensions"] == {"code": "INVALID_INPUT"}


async def test_too_many_urns_are_refused(subgraph: Subgraph) -> None:
    answer = await subgraph.ask(
        "query ($urns: [String!]) { qualityAlerts(urns: $urns) { edges { cursor } } }",
        urns=[urn(f"t{number}") for number in range(1001)],
    )
    assert answer["errors"][0]["message"] == "urns may hold 1000; it holds 1001. Ask in parts."


async def test_fifty_datasets_ask_the_services_no_more_often_than_one() -> None:
    # Half of them are not asked for, so that neighbours are new to the request in either case.
    names = [f"t{number:02}" for number in range(100)]
    subgraph = Subgraph()
    await subgraph.put(*names, failing=names)

    async def calls(asked: list[str]) -> dict[str, int]:
        subgraph.calls.clear()
        answer = await subgraph.entities(EVERYTHING, asked)
        assert "errors" not in answer
        assert len(answer["data"]["_entities"]) == len(asked)
        return dict(subgraph.calls)

    one = await calls(names[:1])
    assert one == await calls(names[:50])
    assert one["quality_of"] == one["results_for"] == one["active_alerts"] == one["neighbours"] == 1


async def test_a_query_asks_who_the_caller_is_once(subgraph: Subgraph) -> None:
    asked: list[str] = []

    async def identify(token: str) -> Any:
        asked.append(token)
        return await subgraph.hub.actor(token)

    served = subgraph.serving(identify=identify)
    answer = await served.entities(EVERYTHING, ["orders", "stock"], EDITOR)
    assert "errors" not in answer
    assert asked == [EDITOR]


EXPLAINED = """
    query ($query: String!, $filters: KnowledgeSearchFilters, $interpret: Boolean! = true) {
      knowledgeSearch(query: $query, filters: $filters, interpret: $interpret) {
        mode notice
        interpretation { text filters { kind urns name words } }
        edges { node {
          score why matches { kind label } matchedColumns
          trust { value parts { name value weight note } }
          lineage { upstream { status dataset { urn } } downstream { status dataset { urn } } }
          dataset { urn }
        } }
        ...Counted
      }
    }
    fragment Counted on KnowledgeSearchConnection {
      facets { platforms { urn name count } tags { count } terms { count } domains { count }
               owners { urn name count } }
    }
"""
JANE = "urn:li:corpuser:jane"


async def test_a_search_explains_itself(subgraph: Subgraph) -> None:
    orders = (await subgraph.hub.datasets([urn("orders")]))[urn("orders")]
    owned = replace(orders, owners=(JANE,), names={JANE: "Jane Doe"})
    subgraph.hub.put(owned, upstream=[urn("stock")])
    async with subgraph.store.transaction() as tx:
        await tx.request_index([urn("orders"), urn("stock")])
    await subgraph.index.reindex(None)
    before = subgraph.calls.copy()
    asked = await subgraph.data(EXPLAINED, query="order totals owned by jane")
    found = asked["knowledgeSearch"]
    assert found["interpretation"] == {
        "text": "order totals",
        "filters": [
            {"kind": "OWNER", "urns": [JANE], "name": "Jane Doe", "words": "owned by jane"}
        ],
    }
    (node,) = (edge["node"] for edge in found["edges"])
    assert node["dataset"]["urn"] == urn("orders")
    assert {"kind": "COLUMN", "label": "orders_total"} in node["matches"]
    assert node["matchedColumns"] == ["orders_total"]
    parts = {part["name"]: part for part in node["trust"]["parts"]}
    assert parts["alerts"]["note"] == "1 open alert, the worst ERROR"
    assert parts["documentation"]["value"] == pytest.approx(0.1)
    assert parts["usage"]["value"] is None
    assert node["lineage"] == {
        "upstream": [{"status": "PASS", "dataset": {"urn": urn("stock")}}],
        "downstream": [],
    }
    assert found["facets"] == {
        "platforms": [{"urn": "urn:li:dataPlatform:postgres", "name": "postgres", "count": 1}],
        "tags": [],
        "terms": [],
        "domains": [],
        "owners": [{"urn": JANE, "name": "Jane Doe", "count": 1}],
    }
    # Lineage, labels and verdicts are asked for once, whatever the number of hits.
    asked_for = subgraph.calls - before
    assert asked_for["snapshots"] == asked_for["labels"] == asked_for["quality_of"] == 1
    literal = await subgraph.data(EXPLAINED, query="orders owned by jane", interpret=False)
    assert literal["knowledgeSearch"]["interpretation"]["filters"] == []


async def test_lineage_of_many_hits_is_asked_for_once_and_only_where_it_is_wanted(
    subgraph: Subgraph,
) -> None:
    query = "{ knowledgeSearch(query: %s) { edges { node { score %s } } } }"
    before = subgraph.calls.copy()
    await subgraph.data(query % ('"all of the orders, payroll and stock"', ""))
    assert (subgraph.calls - before)["snapshots"] == 0
    before = subgraph.calls.copy()
    data = await subgraph.data(
        query % ('"all of orders, payroll and stock"', "lineage { complete }")
    )
    assert len(data["knowledgeSearch"]["edges"]) == 3
    assert (subgraph.calls - before)["snapshots"] == 1


async def test_facets_are_counted_only_where_they_are_asked_for(subgraph: Subgraph) -> None:
    before = subgraph.calls.copy()
    await subgraph.data('{ knowledgeSearch(query: "payroll") { mode } }')
    assert (subgraph.calls - before)["labels"] == 0
    counted = await subgraph.data(
        '{ one: knowledgeSearch(query: "payroll") { mode facets { platforms { count } } } '
        'two: knowledgeSearch(query: "payroll") { ... { facets { tags { urn } } } } }'
    )
    assert counted["one"]["facets"]["platforms"][0]["count"] == 3
    assert counted["two"]["facets"] == {"tags": []}


async def test_search_is_filtered_by_terms_and_consumers(subgraph: Subgraph) -> None:
    for filters in ({"terms": ["urn:li:glossaryTerm:x"]}, {"consumers": ["urn:li:domain:x"]}):
        found = await subgraph.data(EXPLAINED, query="orders", filters=filters)
        assert found["knowledgeSearch"]["edges"] == []


async def test_similar_datasets_say_what_differs(subgraph: Subgraph) -> None:
    answer = await subgraph.entities(
        """similarDatasets(first: 2) {
          score why dataset { urn }
          difference {
            sharedColumns columnsOnlyHere columnsOnlyThere differingTypes { column here there }
            samePlatform sameDomain sameOwners healthier { urn }
          }
        }""",
        ["orders"],
    )
    (found,) = answer["data"]["_entities"]
    for similar in found["similarDatasets"]:
        other = similar["dataset"]["urn"]
        name = other.split(".")[1].split(",")[0]
        assert similar["difference"] == {
            "sharedColumns": ["id"],
            "columnsOnlyHere": ["orders_total"],
            "columnsOnlyThere": [f"{name}_total"],
            "differingTypes": [],
            "samePlatform": True,
            "sameDomain": True,
            "sameOwners": True,
            "healthier": {"urn": other},
        }
    assert len(found["similarDatasets"]) == 2


async def test_a_store_that_is_down_takes_search_alone_with_it(subgraph: Subgraph) -> None:
    async def signals(urns: object) -> object:
        raise DependencyUnavailable("store", "PostgreSQL is down.")

    subgraph.store.signals = signals  # type: ignore[method-assign,assignment]
    answer = await subgraph.ask(
        '{ knowledgeSearch(query: "orders") { mode } qualityAlerts { pageInfo { endCursor } } }'
    )
    assert answer["data"]["knowledgeSearch"] is None
    assert answer["data"]["qualityAlerts"] is not None
    (error,) = answer["errors"]
    assert error["path"] == ["knowledgeSearch"]

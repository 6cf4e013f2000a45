"""What callers do with rules, through GraphQL."""

from typing import Any

import pytest

from dataspoke.catalogue import Dataset, Field, Profile
from dataspoke.quality.model import Check, Judgement, Point, Result, Status
from dataspoke.quality.rules.files import read_rules
from tests.support.subgraph import EDITOR, NOW, PLATFORM, SERVICE, STRANGER, VIEWER, Subgraph, urn

RULE = """
  id name description kind dimension severity enabled schedule timeZone source version
  createdBy updatedBy yaml
  select { urns platforms domains tags owners names }
  mutes { since until days start end timeZone }
  definition {
    __typename
    ... on QualityVolumeRule { rows { min max } changeRows { min max } changePercent { min max } }
    ... on QualityFreshnessRule { within cron grace timeZone }
    ... on QualitySchemaRule {
      columns { name type } exact noTypeChanges noBreakingChanges window
    }
    ... on QualityColumnRule {
      name nullShare { min max } acceptedValues pattern { regex minShare } connection
    }
    ... on QualitySqlRule {
      query expect { noRows operator threshold } connection dimension
    }
  }
"""
FAILURE = """
  __typename
  ... on ForbiddenFailure { message }
  ... on NotFoundFailure { message }
  ... on ConflictFailure { message }
  ... on InvalidInputFailure { message }
"""
CREATE = f"""mutation ($rule: QualityRuleInput!) {{
  createQualityRule(rule: $rule) {{ {FAILURE} ... on QualityRuleSaved {{ rule {{ {RULE} }} }} }}
}}"""
UPDATE = f"""mutation ($id: ID!, $version: Int!, $rule: QualityRuleInput!) {{
  updateQualityRule(id: $id, version: $version, rule: $rule) {{
    {FAILURE} ... on QualityRuleSaved {{ rule {{ {RULE} }} }}
  }}
}}"""
DELETE = f"""mutation ($id: ID!) {{
  deleteQualityRule(id: $id) {{ {FAILURE} ... on QualityRuleDeleted {{ rule {{ name }} }} }}
}}"""
LIST = """query ($kinds: [QualityRuleKind!], $after: String) {
  qualityRules(kinds: $kinds, first: 2, after: $after) {
    edges { node { name } } pageInfo { hasNextPage endCursor }
  }
}"""
APPLY = f"""mutation ($rules: [QualityRuleInput!]!, $prune: Boolean!, $dryRun: Boolean!) {{
  applyQualityRules(rules: $rules, source: "files", prune: $prune, dryRun: $dryRun) {{
    {FAILURE} ... on QualityRulesApplied {{ changes {{ name action before after }} }}
  }}
}}"""
TRY = """query ($rule: QualityRuleInput!, $days: Int!) {
  dryRunQualityRule(rule: $rule, days: $days) {
    complete datasets { failing trials { time status value detail } }
  }
}"""


def volume(name: str = "orders-volume", **more: object) -> dict[str, Any]:
    return {
        "name": name,
        "select": {"urns": [urn("orders")]},
        "definition": {"volume": {"rows": {"min": 10}}},
        **more,
    }


@pytest.fixture
async def subgraph() -> Subgraph:
    subgraph = Subgraph()
    await subgraph.put("orders", "payroll")
    return subgraph


async def created(subgraph: Subgraph, rule: dict[str, Any], token: str = SERVICE) -> Any:
    return (await subgraph.data(CREATE, token, rule=rule))["createQualityRule"]


@pytest.mark.parametrize(
    ("definition", "kind", "dimension", "shown"),
    [
        (
            {"volume": {"changePercent": {"min": -20}}},
            "VOLUME",
            "VOLUME",
            {
                "__typename": "QualityVolumeRule",
                "rows": None,
                "changeRows": None,
                "changePercent": {"min": -20, "max": None},
            },
        ),
        (
            {"freshness": {"cron": "0 6 * * *", "grace": "90m", "timeZone": "Europe/Berlin"}},
            "FRESHNESS",
            "FRESHNESS",
            {
                "__typename": "QualityFreshnessRule",
                "within": None,
                "cron": "0 6 * * *",
                "grace": "1h30m",
                "timeZone": "Europe/Berlin",
            },
        ),
        (
            {"schema": {"columns": [{"name": "id", "type": "int"}], "noBreakingChanges": True}},
            "SCHEMA",
            "CONSISTENCY",
            {
                "__typename": "QualitySchemaRule",
                "columns": [{"name": "id", "type": "int"}],
                "exact": False,
                "noTypeChanges": False,
                "noBreakingChanges": True,
                "window": "7d",
            },
        ),
        (
            {"column": {"name": "email", "pattern": {"regex": "@", "minShare": 0.9}}},
            "COLUMN",
            "VALIDITY",
            {
                "__typename": "QualityColumnRule",
                "name": "email",
                "nullShare": None,
                "acceptedValues": [],
                "pattern": {"regex": "@", "minShare": 0.9},
                "connection": None,
            },
        ),
        (
            {
                "sql": {
                    "query": "SELECT 1",
                    "expect": {"operator": "<=", "threshold": 1},
                    "dimension": "UNIQUENESS",
                }
            },
            "SQL",
            "UNIQUENESS",
            {
                "__typename": "QualitySqlRule",
                "query": "SELECT 1",
                "expect": {"noRows": False, "operator": "<=", "threshold": 1},
                "connection": None,
                "dimension": "UNIQUENESS",
            },
        ),
    ],
)
async def test_a_rule_of_each_kind_is_shown_as_it_was_written(
    subgraph: Subgraph, definition: Any, kind: str, dimension: str, shown: Any
) -> None:
    mute = {"days": ["sat"], "start": "22:00", "end": "06:00", "timeZone": "Europe/Berlin"}
    wanted = {
        "name": "tried",
        "description": "because",
        "severity": "WARN",
        "enabled": False,
        "schedule": "0 8 * * *",
        "timeZone": "Europe/Berlin",
        "select": {"names": ["shop.*"], "tags": ["gold"]},
        "mutes": [mute],
        "definition": definition,
    }
    saved = await created(subgraph, wanted)
    assert saved["__typename"] == "QualityRuleSaved", saved
    rule = saved["rule"]
    assert (rule["kind"], rule["dimension"], rule["definition"]) == (kind, dimension, shown)
    assert rule["mutes"] == [{**mute, "since": None, "until": None}]
    assert rule["select"]["names"] == ["shop.*"]
    assert {k: rule[k] for k in ("name", "severity", "enabled", "schedule", "version")} == {
        "name": "tried",
        "severity": "WARN",
        "enabled": False,
        "schedule": "0 8 * * *",
        "version": 1,
    }
    assert rule["createdBy"] == rule["updatedBy"] == "urn:li:corpuser:dataspoke"
    specs, errors = read_rules(rule["yaml"], "shown.yaml")
    assert not errors
    assert specs[0].name == "tried"
    by_id = await subgraph.data(
        f"query ($id: ID!) {{ qualityRule(id: $id) {{ {RULE} }} }}", SERVICE, id=rule["id"]
    )
    assert by_id["qualityRule"] == rule


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (volume(name="Not a name"), "cannot be a rule's name"),
        (volume(select={}), "select names no dataset"),
        (
            volume(definition={"volume": {"rows": {"min": 2, "max": 1}}}),
            "volume.rows: min 2 is above",
        ),
        (volume(definition={"freshness": {"within": "soon"}}), "freshness.within: 'soon' is not a"),
        (volume(mutes=[{}]), "mutes[0]: a mute would last for ever"),
        (
            volume(
                definition={"column": {"name": "c", "min": {"min": 1}, "connection": "nowhere"}}
            ),
            "register it by DATASPOKE_WAREHOUSES__NOWHERE__URL",
        ),
    ],
)
async def test_what_cannot_be_used_is_told(
    subgraph: Subgraph, rule: dict[str, Any], message: str
) -> None:
    saved = await created(subgraph, rule)
    assert saved["__typename"] == "InvalidInputFailure"
    assert message in saved["message"]


@pytest.mark.parametrize(
    "definition",
    [{}, {"volume": {"rows": {"min": 1}}, "freshness": {"within": "1h"}}, {"volume": None}],
)
async def test_exactly_one_kind_is_taken(subgraph: Subgraph, definition: Any) -> None:
    rule = volume(definition=definition)
    response = await subgraph.post({"query": CREATE, "variables": {"rule": rule}}, token=SERVICE)
    assert "errors" in response.json()


async def test_a_rule_is_changed_and_deleted_by_those_who_may(subgraph: Subgraph) -> None:
    rule = (await created(subgraph, volume(), EDITOR))["rule"]
    again = await created(subgraph, volume(), EDITOR)
    assert again["__typename"] == "ConflictFailure"
    assert "rule orders-volume already" in again["message"]
    by_tags = volume("tags", select={"tags": ["gold"]})
    for token, wanted, failure in (
        (VIEWER, volume("x"), "ForbiddenFailure"),
        (STRANGER, volume("x"), "NotFoundFailure"),
        (EDITOR, by_tags, "ForbiddenFailure"),
    ):
        assert (await created(subgraph, wanted, token))["__typename"] == failure

    async def updated(token: str, version: int) -> Any:
        changed = volume("renamed")
        variables = {"id": rule["id"], "version": version, "rule": changed}
        return (await subgraph.data(UPDATE, token, **variables))["updateQualityRule"]

    assert (await updated(VIEWER, 1))["__typename"] == "ForbiddenFailure"
    assert (await updated(STRANGER, 1))["__typename"] == "NotFoundFailure"
    assert (await updated(EDITOR, 7))["__typename"] == "ConflictFailure"
    assert (await updated(EDITOR, 1))["rule"]["version"] == 2
    for token, outcome in (
        (VIEWER, "ForbiddenFailure"),
        (STRANGER, "NotFoundFailure"),
        (EDITOR, "QualityRuleDeleted"),
        (EDITOR, "NotFoundFailure"),
    ):
        gone = (await subgraph.data(DELETE, token, id=rule["id"]))["deleteQualityRule"]
        assert gone["__typename"] == outcome
    wrong = (await subgraph.data(DELETE, EDITOR, id="7"))["deleteQualityRule"]
    assert wrong["__typename"] == "InvalidInputFailure"


async def test_anonymous_callers_read_and_write_nothing(subgraph: Subgraph) -> None:
    for query, variables in ((CREATE, {"rule": volume()}), (LIST, {})):
        answer = (await subgraph.post({"query": query, "variables": variables})).json()
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_rules_are_listed_in_pages_to_those_who_may_see_them(subgraph: Subgraph) -> None:
    for name in ("a", "b", "c"):
        await created(subgraph, volume(name))
    await created(subgraph, volume("everywhere", select={"names": ["*"]}))

    async def listed(token: str, **variables: object) -> Any:
        page = (await subgraph.data(LIST, token, **variables))["qualityRules"]
        return [edge["node"]["name"] for edge in page["edges"]], page["pageInfo"]

    names, place = await listed(SERVICE)
    assert (names, place["hasNextPage"]) == (["a", "b"], True)
    names, place = await listed(SERVICE, after=place["endCursor"])
    assert (names, place["hasNextPage"]) == (["c", "everywhere"], False)
    assert (await listed(SERVICE, kinds=["SQL"]))[0] == []
    names, place = await listed(VIEWER, after="Yg==")
    assert (names, place["hasNextPage"]) == (["c"], False)
    assert (await listed(STRANGER))[0] == []


async def test_a_dataset_shows_the_rules_that_it_is_held_to(subgraph: Subgraph) -> None:
    rule = (await created(subgraph, volume()))["rule"]
    await created(subgraph, volume("everywhere", select={"names": ["*"]}))
    check = Check.parse(f"rule:{rule['id']}")
    result = Result(
        urn("orders"), check, Judgement(Point(NOW, 5.0), Status.FAIL, "rule", detail="few"), NOW
    )
    async with subgraph.store.transaction() as tx:
        await tx.save_results([result])
    selection = """quality { rules {
      name results { dataset { urn } result { status value detail check { ruleId } } }
    } }"""
    subgraph.calls.clear()
    answer = await subgraph.entities(selection, ["orders", "payroll"], VIEWER)
    orders, payroll = (found["quality"]["rules"] for found in answer["data"]["_entities"])
    assert [r["name"] for r in orders] == ["everywhere", "orders-volume"]
    assert [r["name"] for r in payroll] == ["everywhere"]
    assert orders[1]["results"] == [
        {
            "dataset": {"urn": urn("orders")},
            "result": {
                "status": "FAIL",
                "value": 5.0,
                "detail": "few",
                "check": {"ruleId": rule["id"]},
            },
        }
    ]
    assert subgraph.calls["rules"] == 1
    answer = await subgraph.entities(selection, ["orders"], STRANGER)
    assert answer["data"]["_entities"][0]["quality"] is None


async def test_files_are_applied_once(subgraph: Subgraph) -> None:
    async def applied(*rules: dict[str, Any], **options: bool) -> Any:
        variables = {"prune": False, "dryRun": False, **options, "rules": list(rules)}
        return (await subgraph.data(APPLY, SERVICE, **variables))["applyQualityRules"]

    def actions(answer: Any) -> list[str]:
        return [change["action"] for change in answer["changes"]]

    first, second = volume("first"), volume("second")
    tried = await applied(first, second, dryRun=True)
    assert actions(tried) == ["CREATE", "CREATE"]
    assert tried["changes"][0]["before"] is None
    assert "name: first" in tried["changes"][0]["after"]
    assert actions(await applied(first, second)) == ["CREATE", "CREATE"]
    assert actions(await applied(first, second)) == ["NONE", "NONE"]
    changed = volume("first", severity="WARN")
    answer = await applied(changed, prune=True)
    assert actions(answer) == ["UPDATE", "DELETE"]
    assert "severity: WARN" in answer["changes"][0]["after"]
    assert answer["changes"][1]["after"] is None
    twice = await applied(first, first)
    assert twice["__typename"] == "InvalidInputFailure"
    variables = {"rules": [first, volume("x", select={"names": ["*"]})], "prune": False}
    refused = await subgraph.data(APPLY, EDITOR, **variables, dryRun=False)
    assert refused["applyQualityRules"]["__typename"] == "ForbiddenFailure"


async def test_a_rule_is_tried_before_it_is_kept(subgraph: Subgraph) -> None:
    profiles = [Profile(NOW.replace(day=day), rows) for day, rows in ((21, 20), (22, 5), (23, 20))]
    subgraph.hub.put(
        Dataset(urn("orders"), "shop.orders", PLATFORM, fields=(Field("id"),)), profiles=profiles
    )
    run = (await subgraph.data(TRY, EDITOR, rule=volume(), days=10))["dryRunQualityRule"]
    assert run["complete"]
    (tried,) = run["datasets"]
    assert tried["failing"] == 1
    assert [t["status"] for t in tried["trials"]] == ["PASS", "FAIL", "PASS", "PASS"]
    assert tried["trials"][1]["detail"] == "rule orders-volume: 5 rows, expected at least 10"
    for token, days, code in (
        (VIEWER, 10, "FORBIDDEN"),
        (STRANGER, 10, "NOT_FOUND"),
        (EDITOR, 0, "INVALID_INPUT"),
    ):
        answer = await subgraph.ask(TRY, token, rule=volume(), days=days)
        assert answer["data"]["dryRunQualityRule"] is None
        assert answer["errors"][0]["extensions"]["code"] == code

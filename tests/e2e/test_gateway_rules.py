"""Rules through the real gateway: its own checks of inputs, and what DataHub's dataset shows."""

from collections.abc import Iterator

import pytest

from tests.support.federation import TABLES
from tests.support.gateway import RunningGateway
from tests.support.subgraph import EDITOR, SERVICE, urn

CREATE = """
mutation ($rule: QualityRuleInput!) {
  createQualityRule(rule: $rule) {
    __typename
    ... on QualityRuleSaved { rule { id yaml } }
    ... on InvalidInputFailure { message }
  }
}
"""
DELETE = "mutation ($id: ID!) { deleteQualityRule(id: $id) { __typename } }"
RULES = "query ($urn: String!) { dataset(urn: $urn) { urn quality { rules { id name } } } }"
RULE = {
    "name": "through-the-gateway",
    "select": {"urns": [urn(TABLES[0])]},
    "definition": {"volume": {"rows": {"min": 1}}},
}


@pytest.fixture
def rule_id(gateway: RunningGateway) -> Iterator[str]:
    saved = gateway.data(CREATE, {"rule": RULE}, token=SERVICE)["createQualityRule"]
    assert saved["__typename"] == "QualityRuleSaved", saved
    yield saved["rule"]["id"]
    gone = gateway.data(DELETE, {"id": saved["rule"]["id"]}, token=SERVICE)
    assert gone["deleteQualityRule"]["__typename"] == "QualityRuleDeleted"


def test_datahubs_dataset_shows_its_rules(gateway: RunningGateway, rule_id: str) -> None:
    dataset = gateway.data(RULES, {"urn": urn(TABLES[0])}, token=EDITOR)["dataset"]
    assert dataset["quality"]["rules"] == [{"id": rule_id, "name": "through-the-gateway"}]


def test_two_kinds_at_once_are_refused(gateway: RunningGateway) -> None:
    both = {"volume": {"rows": {"min": 1}}, "freshness": {"within": "1h"}}
    answer = gateway.ask(CREATE, {"rule": {**RULE, "definition": both}}, token=SERVICE)
    assert answer["errors"]
    assert not (answer.get("data") or {}).get("createQualityRule")

"""References from a gateway: what is taken from them, and what is not."""

from typing import Any

import pytest

from dataspoke.settings import SubgraphSettings
from tests.support.subgraph import EDITOR, Subgraph, urn

QUERY = """
    query ($r: [_Any!]!) {
      _entities(representations: $r) { __typename ... on Dataset { urn healthScore { value } } }
    }
"""


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph(SubgraphSettings(max_representations=4))
    await made.put("orders", "stock")
    return made


async def test_nothing_but_the_key_is_taken_from_the_caller(subgraph: Subgraph) -> None:
    forged = {
        "__typename": "Dataset",
        "urn": urn("orders"),
        "healthScore": {"value": 99.0},
        "quality": {"status": "PASS"},
        "isOwner": True,
    }
    data = await subgraph.data(QUERY, r=[forged])
    assert data["_entities"] == [
        {"__typename": "Dataset", "urn": urn("orders"), "healthScore": {"value": 10.0}}
    ]


@pytest.mark.parametrize(
    ("representation", "message"),
    [
        ({"__typename": "CorpUser", "urn": "urn:li:corpuser:me"}, "'CorpUser' is not an entity"),
        ({"__typename": "QualityAlert", "id": "1"}, "'QualityAlert' is not an entity"),
        ({"__typename": ["Dataset"], "urn": "x"}, "is not an entity"),
        ({"urn": "x"}, "None is not an entity"),
        ({"__typename": "Dataset"}, "Dataset is referenced by urn, a string."),
        ({"__typename": "Dataset", "urn": 1}, "Dataset is referenced by urn, a string."),
        ({"__typename": "Dataset", "urn": "urn:li:chart:1"}, "is not a dataset urn"),
        ("Dataset", "must be an object"),
        ([], "must be an object"),
    ],
)
async def test_a_bad_reference_costs_only_itself(
    subgraph: Subgraph, representation: Any, message: str
) -> None:
    good = {"__typename": "Dataset", "urn": urn("stock")}
    answer = await subgraph.ask(QUERY, r=[good, representation, good])
    first, bad, last = answer["data"]["_entities"]
    assert (
        first
        == last
        == {
            "__typename": "Dataset",
            "urn": urn("stock"),
            "healthScore": {"value": 20.0},
        }
    )
    assert bad is None
    (error,) = answer["errors"]
    assert error["path"] == ["_entities", 1]
    assert message in error["message"]
    assert error["extensions"] == {"code": "INVALID_INPUT"}


async def test_more_than_the_cap_are_refused_together(subgraph: Subgraph) -> None:
    answer = await subgraph.entities("urn", ["orders"] * 5)
    assert answer["data"] is None
    (error,) = answer["errors"]
    assert error["message"] == "_entities takes 4 representations; 5 were sent. Ask in parts."
    assert error["extensions"] == {"code": "INVALID_INPUT"}
    assert len((await subgraph.entities("urn", ["orders"] * 4))["data"]["_entities"]) == 4


async def test_order_and_repetition_are_kept(subgraph: Subgraph) -> None:
    answer = await subgraph.entities("urn", ["stock", "orders", "stock"])
    assert [one["urn"] for one in answer["data"]["_entities"]] == [
        urn("stock"),
        urn("orders"),
        urn("stock"),
    ]


async def test_references_may_be_written_into_the_query(subgraph: Subgraph) -> None:
    data = await subgraph.data(
        f'{{ _entities(representations: [{{__typename: "Dataset", urn: "{urn("orders")}"}}]) '
        "{ ... on Dataset { urn } } }",
        EDITOR,
    )
    assert data["_entities"] == [{"urn": urn("orders")}]

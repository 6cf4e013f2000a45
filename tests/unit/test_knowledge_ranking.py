import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.catalogue import Dataset, Field
from dataspoke.errors import InvalidInput
from dataspoke.knowledge import ranking
from dataspoke.knowledge.documents import document_of
from dataspoke.knowledge.model import (
    Attributes,
    Candidate,
    Document,
    SearchFilters,
    SearchMode,
    Snapshot,
    Vocabulary,
)
from dataspoke.urns import dataset_name


def urn_of(name: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:hive,{name},PROD)"


def candidate(
    name: str,
    lexical: float | None = None,
    similarity: float | None = None,
    column_similarity: float | None = None,
    *,
    related: tuple[str, ...] = (),
) -> Candidate:
    attributes = Attributes("urn:li:dataPlatform:hive", related=tuple(map(urn_of, related)))
    return Candidate(urn_of(name), attributes, lexical, similarity, column_similarity, group=0)


def rank(*tiers: Sequence[Candidate]) -> tuple[ranking.Ranked, ...]:
    return ranking.rank("which orders", tiers, {}, 0.0)


def names(order: Sequence[ranking.Ranked]) -> list[str]:
    return [dataset_name(entry.urn) for entry in order]


def test_all_scores_are_weighed() -> None:
    words, sense = candidate("words", 10, 0.1, 0.1), candidate("sense", None, 0.5, 0.2)
    order = rank([words, candidate("both", 8, 0.5, 0.4), sense])
    # Of two telling words in a question, words count for 0.3.
    assert {dataset_name(entry.urn): pytest.approx(entry.score) for entry in order} == {
        "both": 0.3 * 0.8 + 0.7 * (0.4 + 0.6),
        "sense": 0.7 * (0.4 + 0.6 * 0.5),
        "words": 0.3 + 0.7 * (0.4 * 0.2 + 0.6 * 0.25),
    }
    assert names(order) == ["both", "sense", "words"]


def test_the_more_a_question_asks_for_the_more_words_count() -> None:
    found = [candidate("words", 10, 0.2), candidate("sense", 4, 0.4)]
    assert names(ranking.rank("orders", [found], {}, 0)) == ["sense", "words"]
    long = "name email phone street city state postal code country region birthday of customers"
    assert names(ranking.rank(long, [found], {}, 0)) == ["words", "sense"]


def test_what_has_no_columns_is_judged_as_a_whole() -> None:
    order = rank([candidate("none", 1, 0.4), candidate("some", 1, 0.4, 0.4)])
    assert [entry.score for entry in order] == pytest.approx([1, 1])


def test_words_alone_decide_where_there_are_no_vectors() -> None:
    order = rank([candidate("a", 2), candidate("b", 4)])
    assert [(dataset_name(entry.urn), entry.score) for entry in order] == [("b", 1), ("a", 0.5)]


def test_what_has_nothing_in_common_is_left_out() -> None:
    order = rank([candidate("s.a", None, -0.2), candidate("s.b", None, 0.4), candidate("s.c")])
    assert names(order) == ["s.b"]


def test_what_is_found_beside_good_ones_of_its_schema_comes_first() -> None:
    alone, beside = candidate("misc.orders", 5, 0.5), candidate("shop.orders", 5, 0.5)
    order = rank([alone, beside, candidate("shop.customers", 4, 0.4)])
    assert names(order) == ["shop.orders", "misc.orders", "shop.customers"]
    assert [entry.companion for entry in order] == [
        urn_of("shop.customers"),
        None,
        urn_of("shop.orders"),
    ]


def test_a_schema_of_which_more_was_found_lifts_its_datasets_over_better_ones_elsewhere() -> None:
    order = rank(
        [
            candidate("misc.orders", 10, 0.5),
            candidate("shop.orders", 9.5, 0.48),
            candidate("shop.customers", 9, 0.4),
            candidate("shop.payments", 9, 0.4),
        ]
    )
    assert names(order)[0] == "shop.orders"


def test_a_dataset_without_a_schema_stands_by_itself() -> None:
    order = rank([candidate("orders", 10, 0.5), candidate("shop.orders", 10, 0.5)])
    assert (dataset_name(order[0].urn), order[0].relevance) == ("orders", 1)


def test_schemas_of_two_platforms_differ() -> None:
    found = [candidate("shop.orders", 5), candidate("shop.customers", 4)]
    moved = replace(found[1], urn=found[1].urn.replace("hive", "kafka"))
    assert [entry.companion for entry in rank([found[0], moved])] == [None, None]


def test_the_best_one_that_it_is_joined_with_is_named() -> None:
    found = [
        candidate("a.orders", 5, related=("b.customers", "c.items", "d.unseen")),
        candidate("b.customers", 2),
        candidate("c.items", 4),
    ]
    assert [entry.joined for entry in rank(found)] == [urn_of("c.items"), None, None]


def test_trust_takes_its_share_of_the_relevance() -> None:
    found = [candidate("stale", 10), candidate("healthy", 9)]
    trust = {urn_of("stale"): 0.5, urn_of("other"): 0.0}
    order = ranking.rank("orders", [found], trust, 0.4)
    assert [(dataset_name(e.urn), e.score, e.relevance) for e in order] == [
        ("healthy", pytest.approx(0.9), pytest.approx(0.9)),
        ("stale", pytest.approx(0.8), 1.0),
    ]
    assert names(ranking.rank("orders", [found], trust, 0.0)) == ["stale", "healthy"]


scores = st.lists(
    st.tuples(
        st.none() | st.floats(0.01, 20),
        st.none() | st.floats(-1, 1),
        st.none() | st.floats(-1, 1),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=25,
)


@given(scores, st.lists(st.integers(0, 25), max_size=3), st.floats(0, 0.9), st.randoms())
def test_looking_deeper_moves_nothing(
    index: list[tuple[float | None, float | None, float | None, str]],
    cuts: list[int],
    weight: float,
    random: Random,
) -> None:
    found = [candidate(f"{path}.t{n:02}", *given) for n, (*given, path) in enumerate(index)]
    trust = {entry.urn: random.random() for entry in found[::2]}
    bounds = [0, *sorted(cuts), len(found)]
    tiers = [found[start:end] for start, end in pairwise(bounds)]
    full = ranking.rank("q", tiers, trust, weight)
    assert [e.position for e in full] == sorted(e.position for e in full)
    assert [e.score for e in full] == sorted((e.score for e in full), reverse=True)
    assert all(0 <= entry.score <= entry.relevance <= 1 + 1e-9 for entry in full)
    for number in range(1, len(tiers)):
        shuffled = [random.sample(tier, len(tier)) for tier in tiers[:number]]
        partial = ranking.rank("q", shuffled, trust, weight)
        assert full[: len(partial)] == partial


def document(name: str, *fields: Field, description: str | None = None) -> Document:
    dataset = Dataset(urn_of(name), name, "urn:li:dataPlatform:hive", description, fields)
    return document_of(Snapshot(dataset), Vocabulary())


def why(document: Document, question: str, **scores: Any) -> tuple[str, ...]:
    found = Candidate(document.urn, document.attributes, **scores)
    return ranking.reasons(
        document, ranking.matches(document, question), ranking.Ranked(document.urn, 0, 1, 1, found)
    )


def test_reasons_name_what_matched() -> None:
    orders = document(
        "shop.orders",
        Field("customer_id", description="Who ordered"),
        Field("total"),
        description="Sold books.",
    )
    assert why(orders, "Which customers ordered books?", similarity=0.7) == (
        "name",
        "description",
        "column customer_id",
        "similar in meaning",
    )
    assert why(orders, "total per shop on Hive", similarity=0.1) == (
        "path shop",
        "column total",
        "platform hive",
    )
    assert why(orders, "revenue", similarity=0.1) == ("similar in meaning",)


def test_reasons_are_few() -> None:
    keys = document("keys", *(Field(f"key_{n}") for n in range(30)))
    assert len(why(keys, "keys", similarity=0.9)) == 8


def test_reasons_name_columns_that_are_near_and_what_else_was_found() -> None:
    wide = document("shop.wide", *(Field(f"[version=2.0].[type=int].c{n}") for n in range(30)))
    found = Candidate(wide.urn, wide.attributes, None, 0.1, 0.5, group=0)
    entry = ranking.Ranked(wide.urn, 0, 1, 1, found, companion=urn_of("shop.orders"))
    assert ranking.reasons(wide, (), entry) == (
        "columns c0, c1, c2, … similar in meaning",
        "same schema as shop.orders",
    )
    joined = replace(entry, joined=urn_of("mart.sales"))
    assert ranking.reasons(wide, (), joined)[1:] == ("joins to mart.sales",)


FILTERS = SearchFilters(platforms=("urn:li:dataPlatform:hive",))


@given(st.integers(0, 9), st.floats(0, 1, exclude_min=True), st.sampled_from(SearchMode))
def test_a_cursor_reads_back_exactly(tier: int, score: float, mode: SearchMode) -> None:
    found = candidate("orders", 1, 1)
    entry = ranking.Ranked(found.urn, tier, score, score, found)
    cursor = ranking.cursor_of(entry, "q", FILTERS, mode)
    assert ranking.read_cursor(cursor, "q", FILTERS) == (mode, entry.position)


@pytest.mark.parametrize(("question", "filters"), [("other", FILTERS), ("q", SearchFilters())])
def test_a_cursor_of_another_search_is_refused(question: str, filters: SearchFilters) -> None:
    found = candidate("orders", 1, 1)
    entry = ranking.Ranked(found.urn, 0, 0.5, 0.5, found)
    cursor = ranking.cursor_of(entry, "q", FILTERS, SearchMode.HYBRID)
    with pytest.raises(InvalidInput, match="another question"):
        ranking.read_cursor(cursor, question, filters)


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="after"):
        ranking.read_cursor(text, "q", FILTERS)


@pytest.mark.parametrize("content", [{}, 7, None, [1, 2], ["f", "other", 0, 0.5, "urn"]])
def test_a_cursor_with_other_content_is_refused(content: object) -> None:
    forged = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    with pytest.raises(InvalidInput, match="after"):
        ranking.read_cursor(forged, "q", FILTERS)

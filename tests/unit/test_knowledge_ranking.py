import base64
import json

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
    SearchFilters,
    SearchMode,
    Snapshot,
    Vocabulary,
)
from dataspoke.urns import dataset_name


def candidate(name: str, lexical: float | None, similarity: float | None) -> Candidate:
    urn = f"urn:li:dataset:(urn:li:dataPlatform:hive,{name},PROD)"
    dataset = Dataset(urn, name, "urn:li:dataPlatform:hive", fields=(Field("order_id"),))
    return Candidate(dataset.urn, Attributes(dataset.platform), lexical, similarity)


def names(order: ranking.Ranking) -> list[str]:
    return [dataset_name(entry.urn) for entry in order.ranked]


def everything(candidates: list[Candidate]) -> frozenset[str]:
    return frozenset(found.urn for found in candidates)


def test_both_scores_are_weighed() -> None:
    found = [candidate("words", 10, 0.1), candidate("both", 8, 0.5), candidate("sense", None, 0.6)]
    order = ranking.rank(found, everything(found), depth=10)
    assert names(order) == ["both", "sense", "words"]
    assert [entry.score for entry in order.ranked] == pytest.approx([0.82, 0.6, 0.5])
    assert order.complete
    assert order.settled == 3


def test_words_alone_decide_where_there_are_no_vectors() -> None:
    found = [candidate("a", 2, None), candidate("b", 4, None)]
    order = ranking.rank(found, everything(found), depth=10)
    assert [entry.score for entry in order.ranked] == [1, 0.5]


def test_what_has_nothing_in_common_is_left_out() -> None:
    found = [candidate("a", None, -0.2), candidate("b", None, 0.4), candidate("c", None, None)]
    assert names(ranking.rank(found, everything(found), depth=10)) == ["b"]


def test_scores_do_not_depend_on_what_the_caller_may_not_see() -> None:
    seen = [candidate("a", 3, 0.4), candidate("b", 2, 0.5)]
    hidden = candidate("secret", 50, 0.9)
    with_secret = ranking.rank([*seen, hidden], everything(seen), depth=10)
    assert with_secret.ranked == ranking.rank(seen, everything(seen), depth=10).ranked


def test_nothing_is_settled_while_the_best_one_that_may_be_seen_lies_deeper() -> None:
    found = [candidate("secret", 50, 0.9), candidate("a", None, 0.5)]
    order = ranking.rank(found, everything(found[1:]), depth=1)
    assert order.settled == 0
    assert not order.complete


scores = st.lists(
    st.tuples(st.none() | st.floats(0.01, 20), st.none() | st.floats(-1, 1), st.booleans()),
    max_size=25,
)


@given(scores, st.integers(1, 25))
def test_what_is_settled_is_how_the_full_ranking_begins(
    index: list[tuple[float | None, float | None, bool]], depth: int
) -> None:
    documents = [candidate(f"t{n:02}", lex, sim) for n, (lex, sim, _) in enumerate(index)]
    visible = frozenset(d.urn for d, (*_, seen) in zip(documents, index, strict=True) if seen)
    by_words = sorted((d for d in documents if d.lexical), key=lambda d: -(d.lexical or 0))
    by_sense = sorted(
        (d for d in documents if d.similarity is not None), key=lambda d: -(d.similarity or 0)
    )
    best = {d.urn for d in [*by_words[:depth], *by_sense[:depth]]}
    partial = ranking.rank([d for d in documents if d.urn in best], visible, depth)
    full = ranking.rank(documents, visible, depth=len(documents) + 1)
    assert full.complete
    assert full.settled == len(full.ranked)
    assert partial.ranked[: partial.settled] == full.ranked[: partial.settled]
    if partial.complete:
        assert partial.ranked == full.ranked


def test_reasons_name_what_matched() -> None:
    urn = "urn:li:dataset:(urn:li:dataPlatform:hive,shop.orders,PROD)"
    fields = (Field("customer_id", description="Who ordered"), Field("total"))
    dataset = Dataset(urn, "orders", "urn:li:dataPlatform:hive", "Sold books.", fields)
    document = document_of(Snapshot(dataset), Vocabulary())
    assert ranking.reasons(document, "Which customers ordered books?", 0.7) == (
        "name",
        "description",
        "column customer_id",
        "similar in meaning",
    )
    assert ranking.reasons(document, "total per shop on Hive", 0.1) == (
        "path shop",
        "column total",
        "platform hive",
    )
    assert ranking.reasons(document, "revenue", 0.1) == ("similar in meaning",)


def test_reasons_are_few() -> None:
    urn = "urn:li:dataset:(urn:li:dataPlatform:hive,keys,PROD)"
    fields = tuple(Field(f"key_{n}") for n in range(30))
    document = document_of(
        Snapshot(Dataset(urn, "keys", "urn:li:dataPlatform:hive", fields=fields)), Vocabulary()
    )
    assert len(ranking.reasons(document, "keys", 0.9)) == 8


FILTERS = SearchFilters(platforms=("urn:li:dataPlatform:hive",))


@given(st.floats(0, 1, exclude_min=True), st.sampled_from(SearchMode))
def test_a_cursor_reads_back_exactly(score: float, mode: SearchMode) -> None:
    found = candidate("orders", 1, 1)
    entry = ranking.Ranked(found.urn, score, found)
    cursor = ranking.cursor_of(entry, "q", FILTERS, mode)
    assert ranking.read_cursor(cursor, "q", FILTERS) == (mode, entry.position)


@pytest.mark.parametrize(("question", "filters"), [("other", FILTERS), ("q", SearchFilters())])
def test_a_cursor_of_another_search_is_refused(question: str, filters: SearchFilters) -> None:
    found = candidate("orders", 1, 1)
    entry = ranking.Ranked(found.urn, 0.5, found)
    cursor = ranking.cursor_of(entry, "q", FILTERS, SearchMode.HYBRID)
    with pytest.raises(InvalidInput, match="another question"):
        ranking.read_cursor(cursor, question, filters)


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="after"):
        ranking.read_cursor(text, "q", FILTERS)


@pytest.mark.parametrize("content", [{}, 7, None, [1, 2], ["f", "other", 0.5, "urn"]])
def test_a_cursor_with_other_content_is_refused(content: object) -> None:
    forged = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    with pytest.raises(InvalidInput, match="after"):
        ranking.read_cursor(forged, "q", FILTERS)

"""Which filters are read out of a question, and above all which are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.knowledge.model import FilterKind, SearchFilters
from dataspoke.knowledge.questions import Names, may_hold_filters, read, with_read

NAMES = Names(
    {
        "urn:li:tag:PII": "PII",
        "urn:li:tag:gold": "Gold",
        "urn:li:tag:tier1": "Tier 1",
        "urn:li:tag:customer": "customer",
        "urn:li:glossaryTerm:Classification.Email": "Customer Email",
        "urn:li:corpuser:jane@corp.com": "Jane Doe",
        "urn:li:corpuser:jroe": "Jane Roe",
        "urn:li:corpuser:bob": "bob",
        "urn:li:corpGroup:platform": "Data Platform",
        "urn:li:domain:1f3a": "Marketing",
        "urn:li:domain:fin": "Finance",
        "urn:li:dataPlatform:snowflake": "snowflake",
        "urn:li:dataPlatform:postgres": "postgres",
    }
)


def understood(question: str) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return the last component of the urns read, by filter, and the text that is left."""
    found = read(question, NAMES)
    return (
        {f.kind.value: tuple(urn.split(":", 3)[-1] for urn in f.urns) for f in found.filters},
        found.text,
    )


@pytest.mark.parametrize(
    ("question", "filters", "text"),
    [
        ("PII tables used by marketing", {"tags": ("PII",), "consumers": ("1f3a",)}, ""),
        ("which pii columns are there?", {"tags": ("PII",)}, ""),
        ("customers tagged gold", {"tags": ("gold",)}, "customers"),
        ("customers that are tagged as Gold or Tier 1", {"tags": ("gold", "tier1")}, "customers"),
        ('refunds with the tag "tier1", by month', {"tags": ("tier1",)}, "refunds month"),
        ("tag:PII orders", {"tags": ("PII",)}, "orders"),
        ("orders owned by jroe", {"owners": ("jroe",)}, "orders"),
        ("orders owned by jane", {"owners": ("jane@corp.com", "jroe")}, "orders"),
        ("owned by Jane Doe", {"owners": ("jane@corp.com",)}, ""),
        ("all tables owned by jane@corp.com", {"owners": ("jane@corp.com",)}, ""),
        ("orders owned by the data platform team", {"owners": ("platform",)}, "orders"),
        ("customer emails in snowflake", {"platforms": ("snowflake",)}, "customer emails"),
        ("stock levels from PostgreSQL?", {"platforms": ("postgres",)}, "stock levels"),
        ("stock in the snowflake warehouse", {"platforms": ("snowflake",)}, "stock"),
        ("tables of the finance domain", {"domains": ("fin",)}, ""),
        ("invoices in the Finance domain", {"domains": ("fin",)}, "invoices"),
        ("used by the marketing team", {"consumers": ("1f3a",)}, ""),
        ("columns with term Customer Email", {"terms": ("Classification.Email",)}, ""),
        ("contacts with the glossary term email", {"terms": ("Classification.Email",)}, "contacts"),
        (
            "gold price in snowflake owned by bob and tagged gold",
            {"platforms": ("snowflake",), "owners": ("bob",), "tags": ("gold",)},
            "gold price",
        ),
    ],
)
def test_what_is_said_in_so_many_words_is_read(
    question: str, filters: dict[str, tuple[str, ...]], text: str
) -> None:
    assert may_hold_filters(question)
    assert understood(question) == (filters, text)


@pytest.mark.parametrize(
    "question",
    [
        "gold prices by day",
        "gold tables",
        "customer tables",
        "marketing campaigns and finance reports",
        "tables used by marketing campaigns",
        "snowflake tables",
        "crystals in snowflake photographs",
        "invoices of finance",
        "orders owned by nobody",
        "cars owned by bob dylan",
        "tagged photos",
        "not tagged gold",
        "datasets never used by marketing",
        "non PII tables",
        "tagged gold or in bars",
        "What is the email of the customer?",
        "in finance",
        "pets with tag number",
    ],
)
def test_a_word_that_may_be_content_is_no_filter(question: str) -> None:
    assert understood(question) == ({}, question)


def test_what_was_read_is_shown_as_it_was_said_and_as_it_is_called() -> None:
    (found,) = read("emails, tagged with gold or tier1.", NAMES).filters
    assert (found.kind, found.name, found.words) == (
        FilterKind.TAG,
        "Gold or Tier 1",
        "tagged with gold or tier1",
    )


def test_a_second_tag_is_searched_for_as_both_are_meant() -> None:
    assert understood("PII tables tagged gold") == ({"tags": ("PII",)}, "tables tagged gold")
    assert understood("refunds tagged gold and customer") == (
        {"tags": ("gold",)},
        "refunds customer",
    )


def test_what_the_caller_filters_by_is_not_read() -> None:
    found = read("orders in snowflake owned by bob", NAMES, {FilterKind.PLATFORM})
    assert [f.kind for f in found.filters] == [FilterKind.OWNER]
    assert found.text == "orders in snowflake"
    given_filters = SearchFilters(platforms=("urn:li:dataPlatform:hive",))
    assert with_read(given_filters, found) == SearchFilters(
        platforms=("urn:li:dataPlatform:hive",), owners=("urn:li:corpuser:bob",)
    )


WORDS = st.sampled_from(
    """tagged gold or tier 1 PII tables used by marketing owned jane bob in snowflake the of finance
    domain with term customer email not orders, revenue? "gold" tag: platform and""".split()  # noqa: SIM905
)


@given(st.lists(WORDS | st.text(max_size=6), max_size=12).map(" ".join))
def test_every_word_is_either_read_or_searched_for(question: str) -> None:
    found = read(question, NAMES)
    kinds = [f.kind for f in found.filters]
    assert len(kinds) == len(set(kinds))
    if not found.filters:
        assert found.text == question
    else:
        assert may_hold_filters(question)
    assert len(found.text.split()) <= len(question.split())
    assert all(f.urns and f.words for f in found.filters)


@given(st.text())
def test_without_names_nothing_is_read(question: str) -> None:
    assert read(question, Names({})).filters == ()

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.catalogue import Dataset, Field, Lineage
from dataspoke.knowledge.documents import document_of
from dataspoke.knowledge.lexical import bm25, frequencies, split_words, stems, terms
from dataspoke.knowledge.model import (
    Document,
    Join,
    PartKind,
    SampleFilter,
    Snapshot,
    Vocabulary,
)

URN = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.public.custOrders_2024,PROD)"
ORDERS = Dataset(
    URN,
    name="custOrders_2024",
    platform="urn:li:dataPlatform:postgres",
    description="What customers bought.",
    fields=(
        Field("order_id", description="Key of the order"),
        Field("[version=2.0].[type=struct].[type=struct].shipTo.[type=string].zipCode"),
        Field("email", tags=("urn:li:tag:PII",)),
    ),
    owners=("urn:li:corpuser:jdoe",),
    tags=("urn:li:tag:gold",),
    terms=("urn:li:glossaryTerm:Sales.Order",),
    domain="urn:li:domain:9f2c",
    names={"urn:li:corpuser:jdoe": "Jane Doe", "urn:li:domain:9f2c": "Marketing"},
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("custOrders_2024", "cust orders 2024"),
        ("HTTPServerLog", "http server log"),
        ("dim-customer.v2", "dim customer v 2"),
        ("FCLT_BUILDING_KEY", "fclt building key"),
        ("Übersicht Straße", "ubersicht strasse"),
        ("  ??? ", ""),
        ("注文 tables", "注文 tables"),
    ],
)
def test_words_are_split(text: str, words: str) -> None:
    assert split_words(text) == words


@given(st.text())
def test_splitting_twice_changes_nothing(text: str) -> None:
    assert split_words(split_words(text)) == split_words(text)


@given(st.lists(st.text(string.ascii_lowercase, min_size=1), min_size=1, max_size=4))
def test_camel_and_snake_case_give_the_same_words(words: list[str]) -> None:
    capitalised = [f"x{word}".capitalize() for word in words]
    assert split_words("".join(capitalised)) == split_words("_".join(capitalised))


def test_a_question_loses_its_stop_words_and_endings() -> None:
    assert stems("Which customers have ordered the most?") == ("custom", "order")
    assert terms("who") == ("who",)


def test_pairs_of_neighbouring_words_are_searched_for_too() -> None:
    assert terms("What is the key of the buildings?") == ("key", "build", "key_build")
    assert terms("building key") == ("build", "key", "build_key")


def test_names_are_found_by_pairs_and_prose_is_not() -> None:
    dataset = Dataset(
        URN,
        "building_keys",
        ORDERS.platform,
        description="Which doors open",
        fields=(Field("street_address"), Field("notes", description=" ".join(["far away"] * 20))),
    )
    found = frequencies(document_of(Snapshot(dataset), Vocabulary()))
    assert {"build_key", "street_address", "note_far", "far_away"} <= set(found)
    assert "door_open" not in found
    # Of a long description its beginning alone, and less than its words.
    assert found["far_away"] < found["far"] / 4


def test_parts_carry_what_people_call_things() -> None:
    labels = [(part.kind, part.label) for part in document_of(Snapshot(ORDERS), Vocabulary()).parts]
    assert labels == [
        (PartKind.NAME, "custOrders_2024"),
        (PartKind.PATH, "shop.public"),
        (PartKind.DESCRIPTION, "What customers bought."),
        (PartKind.COLUMN, "order_id"),
        (PartKind.COLUMN, "shipTo.zipCode"),
        (PartKind.COLUMN, "email"),
        (PartKind.TAG, "gold"),
        (PartKind.TAG, "PII"),
        (PartKind.TERM, "Sales.Order"),
        (PartKind.DOMAIN, "Marketing"),
        (PartKind.OWNER, "Jane Doe"),
        (PartKind.PLATFORM, "postgres"),
    ]


def test_what_is_embedded_reads_like_a_sentence() -> None:
    assert document_of(Snapshot(ORDERS), Vocabulary()).text == (
        "what customers bought. table cust orders 2024 in shop public with order id, "
        "ship to zip code, email. gold pii sales order marketing. key of the order"
    )


def surrounded(snapshot: Snapshot) -> Document:
    return document_of(snapshot, Vocabulary())


def of_kind(document: Document, *kinds: PartKind) -> list[str]:
    return [part.label for part in document.parts if part.kind in kinds]


def urn_of(name: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:postgres,{name},PROD)"


def test_what_it_is_joined_with_filtered_by_and_made_from_is_part_of_it() -> None:
    joins = (
        Join(("customer",), urn_of("shop.public.customers"), ("id",), 9),
        Join(("book",), urn_of("shop.public.books"), ("id",), 4),
        Join(("till",), urn_of("shop.public.tills"), ("id",), 0),
    )
    around = Snapshot(
        ORDERS,
        Lineage(upstream=(urn_of("raw.order_events"), "urn:li:dataJob:x")),
        joins,
        (SampleFilter("state", "state = 'PAID'", 3),),
    )
    document = surrounded(around)
    assert of_kind(document, PartKind.JOIN) == ["books", "customers"]  # no query joins tills
    assert of_kind(document, PartKind.FILTER) == ["state = 'PAID'"]
    assert of_kind(document, PartKind.UPSTREAM) == ["order_events"]
    assert "joins books, customers. made from order events" in document.text
    assert document.attributes.related == tuple(
        urn_of(f"shop.public.{name}") for name in ("books", "customers", "tills")
    )
    assert {"paid", "event", "book"} <= set(frequencies(document))
    assert frequencies(document)["book"] < 1
    # What changes by itself, every day, changes no document.
    assert document == surrounded(
        replace(around, joins=(replace(joins[1], count=12), replace(joins[0], count=3), joins[2]))
    )
    assert document.content_hash != surrounded(Snapshot(ORDERS)).content_hash


def test_an_abbreviation_is_found_by_what_it_stands_for() -> None:
    dataset = Dataset(URN, "dept_hist", ORDERS.platform, fields=(Field("dept_code"),))
    vocabulary = Vocabulary({"dept": ("department",)})
    document = document_of(Snapshot(dataset), vocabulary)
    found = frequencies(document)
    assert {"dept", "depart", "depart_code", "depart_hist"} <= set(found)
    plain = document_of(Snapshot(dataset), Vocabulary())
    assert plain.text == document.text  # so that a new word embeds nothing anew
    assert plain.content_hash != document.content_hash


def test_columns_are_embedded_in_groups_of_like_size() -> None:
    fields = tuple(Field(f"[version=2.0].[type=int].c{n}") for n in range(17))
    groups = document_of(Snapshot(replace(ORDERS, fields=fields)), Vocabulary()).groups
    assert [len(group.columns) for group in groups] == [6, 6, 5]
    assert [path for group in groups for path in group.columns] == [f.path for f in fields]
    assert groups[2].text == "table cust orders 2024 with c 12, c 13, c 14, c 15, c 16"
    assert document_of(Snapshot(replace(ORDERS, fields=())), Vocabulary()).groups == ()


def test_a_group_says_what_its_columns_are() -> None:
    fields = (
        Field("dname", description="Name of the department"),
        Field("dept_no", description="Dept No."),
        Field("notes", description="word " * 50),
    )
    (group,) = document_of(Snapshot(replace(ORDERS, fields=fields)), Vocabulary()).groups
    assert group.text == (
        "table cust orders 2024 with dname name of the department, dept no, notes "
        + " ".join(["word"] * 12)
    )


def test_a_long_description_leaves_room_for_the_columns() -> None:
    document = document_of(Snapshot(replace(ORDERS, description="word " * 500)), Vocabulary())
    assert document.text.index("order id") < 400


@pytest.mark.parametrize(
    "change",
    [
        {"name": "orders"},
        {"description": None},
        {"description": "What customers returned."},
        {"fields": ORDERS.fields[:1]},
        {"tags": ()},
        {"owners": ("urn:li:corpuser:other",)},
        {"domain": None},
        {"names": {}},
    ],
)
def test_the_hash_covers_what_the_index_depends_on(change: dict[str, object]) -> None:
    changed = replace(ORDERS, **change)  # type: ignore[arg-type]
    assert (
        document_of(Snapshot(changed), Vocabulary()).content_hash
        != document_of(Snapshot(ORDERS), Vocabulary()).content_hash
    )


urns = st.sampled_from(["urn:li:tag:a", "urn:li:tag:b", "urn:li:tag:Legacy.c", "urn:li:tag:d e"])
texts = st.text(max_size=30)
datasets = st.builds(
    Dataset,
    urn=st.just(URN),
    name=texts,
    platform=st.just(ORDERS.platform),
    description=st.none() | texts,
    fields=st.lists(st.builds(Field, texts, description=st.none() | texts), max_size=4).map(tuple),
    tags=st.lists(urns, max_size=3).map(tuple),
    names=st.dictionaries(urns, texts, max_size=2),
)


@given(datasets)
def test_any_metadata_makes_a_document_that_can_be_found_by_its_words(dataset: Dataset) -> None:
    document = document_of(Snapshot(dataset), Vocabulary())
    assert document == document_of(Snapshot(dataset), Vocabulary())
    found = frequencies(document)
    assert {"cust", "order", "2024", "shop"} <= set(found)
    assert all(weight >= 1 for term, weight in found.items() if "_" not in term)
    for part in document.parts:
        assert part.words == split_words(part.words)
        assert set(stems(part.words)) <= set(found)


@given(datasets, st.permutations(["urn:li:tag:a", "urn:li:tag:b", "urn:li:tag:d e"]))
def test_the_order_of_tags_does_not_matter(dataset: Dataset, tags: list[str]) -> None:
    ordered = replace(dataset, tags=tuple(sorted(tags)), last_updated=None, deprecated=True)
    shuffled = replace(dataset, tags=tuple(tags))
    assert document_of(Snapshot(shuffled), Vocabulary()) == document_of(
        Snapshot(ordered), Vocabulary()
    )


@given(
    st.floats(1, 100),
    st.floats(1, 1000),
    st.floats(1, 1000),
    st.integers(1, 50),
    st.integers(0, 50),
)
def test_bm25_is_positive_and_rises_with_frequency_and_rarity(
    frequency: float, length: float, mean_length: float, documents_with: int, others: int
) -> None:
    documents = documents_with + others
    rank = bm25(frequency, length, mean_length, documents_with, documents)
    assert rank > 0
    assert bm25(frequency + 1, length, mean_length, documents_with, documents) > rank
    assert bm25(frequency, length, mean_length, documents_with, documents + 1) > rank
    assert bm25(frequency, length + 1, mean_length, documents_with, documents) < rank

"""What any search index does: in memory, on PostgreSQL and on Weaviate, by the same tests."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import event, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.memory.vectors import MemoryVectors
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.tables import (
    NEAREST_INDEX_PREFIX,
    dataset_vectors,
    group_vectors,
    nearest_index_name,
)
from dataspoke.adapters.postgres.vectors import PostgresVectors
from dataspoke.adapters.weaviate import WeaviateVectors
from dataspoke.errors import (
    ConfigurationError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)
from dataspoke.knowledge.lexical import split_words
from dataspoke.knowledge.model import (
    Attributes,
    Candidate,
    ColumnGroup,
    Document,
    Part,
    PartKind,
    SearchFilters,
)
from dataspoke.ports.vectors import Entry, Vectors
from dataspoke.settings import StoreSettings
from tests.support.databases import new_database

Vector = NDArray[np.float32]

MODEL = "small@8"
ANY = SearchFilters()
# Half precision keeps 11 bits of each of a unit vector's components.
PRECISION = 2e-3


def unit(*values: float) -> Vector:
    vector = np.zeros(8, dtype=np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def document(
    urn: str, name: str = "", *columns: str, title: str | None = None, **attributes: Any
) -> Document:
    parts = (
        Part(PartKind.NAME, name, split_words(name)),
        *(Part(PartKind.COLUMN, column, split_words(column)) for column in columns),
    )
    return Document(
        urn=urn,
        title=name if title is None else title,
        text=split_words(" ".join((name, *columns))),
        parts=tuple(part for part in parts if part.words),
        groups=(),
        attributes=Attributes(**{"platform": "urn:li:dataPlatform:hive", **attributes}),
        content_hash=f"hash of {urn} {name} {columns} {attributes}",
    )


def entry(
    found: Document,
    vector: Vector | None = None,
    version: int = 1,
    model: str | None = MODEL,
    groups: Sequence[Vector] = (),
) -> Entry:
    texts = (f"{found.text} {number}" for number in range(len(groups)))
    grouped = replace(found, groups=tuple(ColumnGroup((text,), text) for text in texts))
    return Entry(grouped, vector, tuple(groups), None if vector is None else model, version)


def urns(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.urn for candidate in candidates]


@pytest.fixture(params=["memory", "postgres", "weaviate"])
def vectors(request: pytest.FixtureRequest) -> Vectors:
    if request.param == "memory":
        return MemoryVectors()
    if request.param == "weaviate":
        found: WeaviateVectors = request.getfixturevalue("weaviate_vectors")
        return found
    engine: AsyncEngine = request.getfixturevalue("emptied")
    return PostgresVectors(engine)


async def test_documents_come_back_as_they_were_stored(vectors: Vectors) -> None:
    stored = document(
        "a",
        "custOrders",
        "customer_id",
        tags=("urn:li:tag:b", "urn:li:tag:a"),
        terms=("urn:li:glossaryTerm:t",),
        owners=("urn:li:corpuser:o",),
        domain="urn:li:domain:d",
        consumers=("urn:li:domain:e", "urn:li:domain:f"),
        related=("urn:li:dataset:(urn:li:dataPlatform:hive,b,PROD)",),
        # What the database's own text and jsonb would refuse.
        title="a NUL \0 and half an emoji \ud83d",
    )
    await vectors.upsert([entry(stored, unit(1))])
    (found,) = await vectors.search("orders", unit(1), MODEL, ANY, 5)
    assert found.attributes == stored.attributes
    assert await vectors.documents([stored.urn, "unknown"]) == {stored.urn: stored}
    assert found.lexical is not None
    assert found.lexical > 0
    assert found.similarity == pytest.approx(1, abs=PRECISION)
    assert await vectors.versions(["b", "a"]) == {"a": (stored.content_hash, MODEL)}
    assert await vectors.urns() == {"a"}
    assert await vectors.count() == 1


async def test_nothing_stored_is_nothing_found(vectors: Vectors) -> None:
    await vectors.upsert([])
    await vectors.delete({})
    await vectors.delete({"a": 1})
    assert await vectors.search("orders", unit(1), MODEL, ANY, 5) == []
    assert await vectors.neighbours(["a"], 5) == {}
    assert await vectors.versions(["a"]) == {}
    assert await vectors.urns() == frozenset()
    assert await vectors.count() == 0


async def test_an_older_document_does_not_replace_a_newer_one(vectors: Vectors) -> None:
    await vectors.upsert([entry(document("a", "orders"), unit(1), 5)])
    await vectors.upsert(
        [entry(document("a", "customers"), unit(0, 1), 4), entry(document("b", "customers"))]
    )
    assert urns(await vectors.search("customers", None, None, ANY, 5)) == ["b"]
    await vectors.upsert([entry(document("a", "customers"), unit(0, 1), 6)])
    assert urns(await vectors.search("customers", None, None, ANY, 5)) == ["a", "b"]
    assert await vectors.search("orders", None, None, ANY, 5) == []


async def test_the_same_entry_twice_changes_nothing(vectors: Vectors) -> None:
    entries = [entry(document("a", "orders"), unit(1)), entry(document("b", "lines"), unit(2, 1))]
    await vectors.upsert(entries)
    before = await vectors.search("orders lines", unit(1), MODEL, ANY, 5)
    await vectors.upsert(entries)
    await vectors.upsert([entries[0], entries[1], entries[0]])
    assert await vectors.search("orders lines", unit(1), MODEL, ANY, 5) == before
    assert await vectors.count() == 2


async def test_of_one_urn_given_twice_the_newer_is_kept(vectors: Vectors) -> None:
    old, new = document("a", "orders"), document("a", "customers")
    await vectors.upsert([entry(new, None, 2), entry(old, None, 1)])
    assert urns(await vectors.search("customers", None, None, ANY, 5)) == ["a"]


async def test_a_document_newer_than_its_removal_stays(vectors: Vectors) -> None:
    await vectors.upsert([entry(document(urn, "orders"), unit(1), 5) for urn in "abc"])
    await vectors.delete({"a": 4, "b": 5, "c": 6, "unknown": 7})
    assert await vectors.urns() == {"a"}
    assert urns(await vectors.search("orders", unit(1), MODEL, ANY, 5)) == ["a"]
    await vectors.upsert([entry(document("b", "orders"), unit(1), 7)])
    assert await vectors.urns() == {"a", "b"}


async def test_each_candidate_carries_both_scores(vectors: Vectors) -> None:
    await vectors.upsert(
        [
            entry(document("words", "customer orders"), unit(0, 1)),
            entry(document("meaning", "purchases"), unit(1)),
            entry(document("bare", "orders")),
            entry(document("neither", "regions"), unit(0, 0, 1)),
        ]
    )
    found = await vectors.search("customer orders", unit(1, 0.1), MODEL, ANY, 2)
    assert urns(found) == ["bare", "meaning", "words"]
    bare, meaning, words = found
    assert bare.similarity is None
    assert meaning.lexical is None
    assert (meaning.similarity or 0) > 0.9
    assert (words.lexical or 0) > (bare.lexical or 0) > 0
    assert words.similarity == pytest.approx(0.0995, abs=PRECISION)


async def test_a_way_of_searching_without_a_question_is_left_out(vectors: Vectors) -> None:
    await vectors.upsert(
        [entry(document("a", "orders"), unit(1)), entry(document("b", "lines"), unit(0, 1))]
    )
    assert await vectors.search("", None, None, ANY, 5) == []
    assert await vectors.search("  --  ", None, MODEL, ANY, 5) == []
    by_vector = await vectors.search("", unit(1), MODEL, ANY, 1)
    assert [(c.urn, c.lexical) for c in by_vector] == [("a", None)]
    by_words = await vectors.search("lines", None, None, ANY, 5)
    assert [(c.urn, c.similarity) for c in by_words] == [("b", None)]
    assert await vectors.search("unheard of", None, None, ANY, 5) == []
    assert urns(await vectors.search("unheard of", unit(1), MODEL, ANY, 1)) == ["a"]


async def test_an_opposite_vector_is_found_too(vectors: Vectors) -> None:
    await vectors.upsert([entry(document("a", "orders"), unit(-1))])
    (found,) = await vectors.search("", unit(1), MODEL, ANY, 5)
    assert found.similarity == pytest.approx(-1, abs=PRECISION)


async def test_a_document_without_words_is_stored(vectors: Vectors) -> None:
    await vectors.upsert([entry(document("a", ""), unit(1)), entry(document("b", "orders"))])
    assert urns(await vectors.search("orders", unit(1), MODEL, ANY, 5)) == ["a", "b"]
    await vectors.delete({"a": 1})
    assert await vectors.count() == 1


async def test_filters_keep_what_matches_one_urn_of_each(vectors: Vectors) -> None:
    hive, kafka = "urn:li:dataPlatform:hive", "urn:li:dataPlatform:kafka"
    await vectors.upsert(
        [
            entry(
                document(
                    f"{name} {tag} {owner} {domain}",
                    "orders",
                    platform=platform,
                    tags=(tag, "other"),
                    owners=(owner,),
                    domain=domain,
                ),
                unit(1),
            )
            for name, platform in (("hive", hive), ("kafka", kafka))
            for tag in ("t1", "t2")
            for owner in ("o1", "o2")
            for domain in ("d1", None)
        ]
    )

    async def kept(**filters: tuple[str, ...]) -> set[str]:
        by_words = await vectors.search("orders", None, None, SearchFilters(**filters), 50)
        by_vector = await vectors.search("", unit(1), MODEL, SearchFilters(**filters), 50)
        assert urns(by_words) == urns(by_vector)
        return set(urns(by_words))

    everything = await kept()
    assert len(everything) == 16
    for named in ({"platforms": (kafka,)}, {"tags": ("t1",)}, {"owners": ("o2",)}):
        assert len(await kept(**named)) == 8
    assert await kept(domains=("d1", "d2")) == {urn for urn in everything if urn.endswith("d1")}
    assert await kept(platforms=(hive, kafka), tags=("t1", "t2", "t3")) == everything
    assert await kept(
        platforms=(hive,), tags=("t2",), owners=("o1", "missing"), domains=("d1",)
    ) == {"hive t2 o1 d1"}
    assert await kept(tags=("missing",)) == set()


async def test_filters_keep_what_has_a_term_or_a_consumer(vectors: Vectors) -> None:
    await vectors.upsert(
        [
            entry(document("a", "orders", terms=("t1", "t2"), consumers=("d1",)), unit(1)),
            entry(document("b", "orders", terms=("t2",), consumers=("d1", "d2")), unit(1)),
            entry(document("c", "orders", related=("a",)), unit(1)),
        ]
    )
    for filters, kept in (
        (SearchFilters(terms=("t1", "t3")), ["a"]),
        (SearchFilters(terms=("t2",)), ["a", "b"]),
        (SearchFilters(consumers=("d2",)), ["b"]),
        (SearchFilters(terms=("t1",), consumers=("d1",)), ["a"]),
        (SearchFilters(terms=("t1",), consumers=("d2",)), []),
    ):
        assert urns(await vectors.search("orders", None, None, filters, 5)) == kept
        assert urns(await vectors.search("", unit(1), MODEL, filters, 5)) == kept


async def test_a_dataset_is_found_by_the_best_of_its_column_groups(vectors: Vectors) -> None:
    aside = unit(0, 0, 1)
    await vectors.upsert(
        [
            entry(document("whole", "orders"), unit(1), groups=[aside]),
            entry(document("part", "lines"), aside, groups=[aside, unit(1, 0.1), unit(1, 1)]),
            entry(document("bare", "orders"), unit(1, 0.2)),
            entry(document("neither", "regions"), aside, groups=[aside]),
            entry(document("unembedded", "orders")),
        ]
    )
    found = {c.urn: c for c in await vectors.search("orders", unit(1), MODEL, ANY, 1)}
    # One by words, one by its own vector, one by a group; of the words, any of the three alike.
    assert {"whole", "part"} <= found.keys()
    assert found["part"].group == 1
    assert found["part"].column_similarity == pytest.approx(0.995, abs=PRECISION)
    assert found["part"].similarity == pytest.approx(0, abs=PRECISION)
    assert found["part"].lexical is None
    # What was found otherwise carries these scores too.
    assert found["whole"].group == 0
    assert found["whole"].column_similarity == pytest.approx(0, abs=PRECISION)
    by_words = await vectors.search("orders regions", unit(1), MODEL, ANY, 9)
    scored = {c.urn: (c.column_similarity is None, c.group) for c in by_words}
    assert scored == {
        "bare": (True, None),
        "neither": (False, 0),
        "part": (False, 1),
        "unembedded": (True, None),
        "whole": (False, 0),
    }
    without = await vectors.search("lines", None, None, ANY, 9)
    assert [(c.urn, c.column_similarity, c.group) for c in without] == [("part", None, None)]


async def test_many_groups_of_few_datasets_hide_no_others(vectors: Vectors) -> None:
    """Each of the three wide tables has more groups near the question than are asked for."""
    wide = [entry(document(f"wide{n}"), unit(1), groups=[unit(1, 0.01 * n)] * 30) for n in range(3)]
    narrow = [
        entry(document(f"narrow{n}"), unit(0, 1), groups=[unit(1, 0.5 + 0.1 * n)]) for n in range(9)
    ]
    await vectors.upsert(wide + narrow)
    found = await vectors.search("", unit(1), MODEL, ANY, 6)
    assert {"narrow0", "narrow1", "narrow2"} <= set(urns(found))
    assert {"wide0", "wide1", "wide2"} <= set(urns(found))


async def test_entries_come_back_with_their_vectors(vectors: Vectors) -> None:
    stored = [
        entry(document("a", "orders"), unit(1, 2), 3, groups=[unit(0, 1), unit(1, 0, 1)]),
        entry(document("b", "lines"), unit(1)),
        entry(document("c", "regions")),
    ]
    await vectors.upsert(stored)
    found = await vectors.entries(["a", "b", "c", "unknown"])
    assert found.keys() == {"a", "b", "c"}
    for one in stored:
        kept = found[one.document.urn]
        assert (kept.document, kept.model, kept.version) == (one.document, one.model, one.version)
        assert (kept.vector is None) == (one.vector is None)
        if one.vector is not None and kept.vector is not None:
            assert kept.vector == pytest.approx(one.vector, abs=PRECISION)
        assert len(kept.group_vectors) == len(one.group_vectors)
        for vector, given in zip(kept.group_vectors, one.group_vectors, strict=True):
            assert vector.dtype == np.float32
            assert vector == pytest.approx(given, abs=PRECISION)
    await vectors.upsert([entry(document("a", "orders"), unit(1), 4, groups=[unit(1)])])
    (again,) = (await vectors.entries(["a"])).values()
    assert len(again.group_vectors) == 1


async def test_vectors_of_another_model_are_never_compared(vectors: Vectors) -> None:
    longer = np.ones(16, dtype=np.float32) / 4
    await vectors.upsert([entry(document(urn, "orders"), unit(1)) for urn in "abc"])
    assert urns(await vectors.search("", longer, "larger@16", ANY, 5)) == []
    larger, other = document("b", "orders", "b"), document("c", "orders", "c")
    await vectors.upsert([entry(larger, longer, 2, "larger@16")])
    await vectors.upsert([entry(other, unit(1), 2, "other@8")])
    assert urns(await vectors.search("", unit(1), MODEL, ANY, 5)) == ["a"]
    assert urns(await vectors.search("", longer, "larger@16", ANY, 5)) == ["b"]
    by_words = await vectors.search("orders", unit(1), "other@8", ANY, 5)
    assert [(c.urn, c.similarity is None) for c in by_words] == [
        ("a", True),
        ("b", True),
        ("c", False),
    ]
    assert await vectors.neighbours(["a", "b", "c"], 5) == {"a": [], "b": [], "c": []}
    assert (await vectors.versions(["b"]))["b"] == (larger.content_hash, "larger@16")


async def test_neighbours_are_the_most_similar_others(vectors: Vectors) -> None:
    await vectors.upsert(
        [
            entry(document("a"), unit(1)),
            entry(document("b"), unit(1, 0.2)),
            entry(document("c"), unit(1, 1)),
            entry(document("d"), unit(0, 1)),
            entry(document("bare")),
        ]
    )
    found = await vectors.neighbours(["a", "d", "bare", "missing", "a"], 2)
    assert {urn: [n.urn for n in near] for urn, near in found.items()} == {
        "a": ["b", "c"],
        "d": ["c", "b"],
    }
    assert found["a"][1].similarity == pytest.approx(2**-0.5, abs=PRECISION)
    assert [n.urn for n in (await vectors.neighbours(["a"], 9))["a"]] == ["b", "c", "d"]


WORDS = [
    *("order", "customer", "sale", "name", "date", "id", "item"),
    *("price", "region", "store", "city", "stock", "unit"),
]


def catalogue(seed: int, size: int) -> list[Entry]:
    """Documents of few words, so that many match, one of them in nearly all.

    One document in five has no vector.
    """
    chance, noise = random.Random(seed), np.random.default_rng(seed)

    def words(most: int) -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(0, most)))

    return [
        entry(
            document(
                f"urn{number:03}",
                f"{words(3)} {chance.choice(['refund', *[''] * 39])}",
                chance.choice(["", *["data"] * 9]),
                *(words(2) for _ in range(chance.randint(0, 6))),
                platform=f"p{number % 3}",
                tags=tuple({f"t{chance.randint(0, 5)}" for _ in range(chance.randint(0, 3))}),
                terms=tuple({f"g{chance.randint(0, 5)}" for _ in range(chance.randint(0, 3))}),
                owners=(f"o{chance.randint(0, 20)}",),
                domain=chance.choice([None, "d1", "d2"]),
                consumers=chance.choice([(), ("d1",), ("d1", "d3")]),
                related=(f"urn{chance.randrange(300):03}",),
            ),
            vector,
            version=chance.randint(1, 4),
            model=chance.choice([MODEL, MODEL, "other@8"]),
            groups=[]
            if vector is None
            else [unit(*noise.standard_normal(8)) for _ in range(chance.randint(0, 3))],
        )
        for number in chance.sample(range(300), size)
        for vector in [unit(*noise.standard_normal(8)) if chance.random() > 0.2 else None]
    ]


def scores(candidates: Sequence[Candidate], name: str) -> Mapping[str, float]:
    return {c.urn: s for c in candidates if (s := getattr(c, name)) is not None}


TOLERANCES = {"lexical": 1e-6, "similarity": PRECISION, "column_similarity": PRECISION}


def assert_best(
    found: Sequence[Candidate],
    everything: Sequence[Candidate],
    limit: int,
    tolerances: Mapping[str, float] = TOLERANCES,
) -> None:
    """Hold what an index found to all the candidates there are, apart from ties."""
    best, plausible = set(), set()
    for name, tolerance in tolerances.items():
        known, given = scores(everything, name), scores(found, name)
        assert given == pytest.approx(
            {urn: known[urn] for urn in given}, rel=1e-6, abs=tolerance if limit else 0
        )
        assert given.keys() == known.keys() & set(urns(found))
        ordered = sorted(known.values(), reverse=True)
        last = ordered[limit - 1] if len(ordered) >= limit else -np.inf
        best |= {urn for urn, value in known.items() if value > last + tolerance}
        plausible |= {urn for urn, value in known.items() if value >= last - tolerance}
    assert best <= set(urns(found)) <= plausible
    assert urns(found) == sorted(urns(found))


@pytest.fixture(params=["postgres", "weaviate"])
def real(request: pytest.FixtureRequest) -> Vectors:
    if request.param == "weaviate":
        found: WeaviateVectors = request.getfixturevalue("weaviate_vectors")
        return found
    return PostgresVectors(request.getfixturevalue("emptied"))


@pytest.mark.parametrize("seed", range(8))
async def test_all_indexes_answer_alike(real: Vectors, seed: int) -> None:
    """After any history of changes, so that the statistics behind the scores are the same too."""
    chance = random.Random(seed)
    memory = MemoryVectors()
    for round_ in range(4):
        entries = catalogue(10 * seed + round_, 90)
        gone = {f"urn{chance.randrange(300):03}": chance.randint(1, 4) for _ in range(60)}
        for index in (memory, real):
            await index.upsert(entries)
            await index.delete(gone)
    tolerances = TOLERANCES
    if isinstance(real, WeaviateVectors):
        # Its mean length of a document leaves out those without words, and vectors of eight
        # numbers in eight bits each are not precise.
        tolerances = {"lexical": 0.03, "similarity": 0.01, "column_similarity": 0.01}
    everyone = sorted(await memory.urns())
    assert sorted(await real.urns()) == everyone
    assert await real.count() == await memory.count()
    assert await real.versions(everyone) == await memory.versions(everyone)
    for filters in (
        ANY,
        SearchFilters(platforms=("p1",)),
        SearchFilters(tags=("t1", "t2"), domains=("d1",)),
        SearchFilters(owners=("o3",)),
        SearchFilters(terms=("g1", "g3"), consumers=("d3",)),
    ):
        asked = unit(*np.random.default_rng(seed).standard_normal(8))
        for limit, question in itertools.product(
            (1, 7, 1000), (" ".join(chance.choices(WORDS, k=3)), "refund data", "data unheard")
        ):
            ask = (question, asked, MODEL, filters)
            everything = await memory.search(*ask, 1000)
            found = await real.search(*ask, limit)
            assert_best(found, everything, limit, tolerances)
            attributes = {candidate.urn: candidate.attributes for candidate in everything}
            assert all(c.attributes == attributes[c.urn] for c in found)
    near, expected = await real.neighbours(everyone, 5), await memory.neighbours(everyone, 5)
    assert near.keys() == expected.keys()
    for urn, others in expected.items():
        assert [n.similarity for n in near[urn]] == pytest.approx(
            [n.similarity for n in others], abs=PRECISION
        )


@pytest.fixture
async def weary(emptied: AsyncEngine, database_url: str) -> AsyncIterator[AsyncEngine]:
    """Connections whose walks through HNSW give up soon, as they do in a large catalogue."""
    setting = f'ALTER DATABASE "{make_url(database_url).database}"'
    async with emptied.begin() as connection:
        await connection.execute(text(f"{setting} SET hnsw.max_scan_tuples = 200"))
    engine = create_engine(StoreSettings(url=database_url))
    yield engine
    await engine.dispose()
    async with emptied.begin() as connection:
        await connection.execute(text(f"{setting} RESET hnsw.max_scan_tuples"))


async def test_a_filter_never_hides_what_it_keeps(weary: AsyncEngine) -> None:
    """One document in 200, though each of its two filters alone keeps one in two."""
    noise = np.random.default_rng(1)
    rows = noise.standard_normal((3000, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    entries = [
        entry(
            document(
                f"{n:04}",
                "orders of items by region",
                tags=("a",) if n % 2 or n % 200 == 8 else ("b",),
                owners=("c",) if n % 2 else ("d",),
            ),
            row,
        )
        for n, row in enumerate(rows)
    ]
    kept = {f"{n:04}" for n in range(8, 3000, 200)}
    rare = SearchFilters(tags=("a",), owners=("d",))
    walking = PostgresVectors(weary, exact_up_to=0)
    await walking.upsert(entries)
    async with weary.begin() as connection:
        await connection.execute(text("ANALYZE"))
    for vectors in (walking, PostgresVectors(weary)):
        found = await vectors.search("", unit(1, 1), MODEL, rare, 15)
        assert set(urns(found)) == kept
        assert len(await vectors.search("", unit(1, 1), MODEL, ANY, 500)) == 500
        found = await vectors.search("orders", None, None, rare, 50)
        assert set(urns(found)) == kept
        # Words of all documents under a filter of half of them.
        half = SearchFilters(tags=("a",))
        found = await vectors.search("items orders region", None, None, half, 2000)
        assert len(found) == 1515
        assert all(candidate.attributes.tags == ("a",) for candidate in found)
        near = await vectors.neighbours(sorted(kept), 300)
        assert {urn: len(others) for urn, others in near.items()} == dict.fromkeys(kept, 300)
    exact = {f"{n:04}" for n in np.argsort(-(rows @ unit(1, 1)))[:40]}
    walked = set(urns(await walking.search("", unit(1, 1), MODEL, ANY, 40)))
    assert len(walked & exact) >= 38


@pytest.mark.parametrize("length", [1, 400])
async def test_a_rare_word_does_not_hide_what_common_ones_rank_higher(
    emptied: AsyncEngine, length: int
) -> None:
    """In long documents it weighs less than it promises, and their others decide."""
    common = [f"{number:03}" for number in range(150)]
    entries = [
        *(entry(document(f"common{n}", "metric metric value value")) for n in common),
        *(entry(document(f"other{n}", "region")) for n in range(80)),
        *(entry(document(f"rare{n}", "refund", *["filler"] * length)) for n in range(4)),
    ]
    memory, postgres = MemoryVectors(), PostgresVectors(emptied)
    for index in (memory, postgres):
        await index.upsert(entries)
    ask = ("refund metric value", None, None, ANY)
    found = await postgres.search(*ask, 4)
    assert_best(found, await memory.search(*ask, 1000), 4)
    assert {urn.rstrip("0123456789") for urn in urns(found)} == {
        "rare" if length == 1 else "common"
    }


async def test_an_upsert_is_stored_whole_or_not_at_all(emptied: AsyncEngine) -> None:
    vectors = PostgresVectors(emptied)
    await vectors.upsert([entry(document("a", "orders"), unit(1))])
    before = await vectors.search("orders", unit(1), MODEL, ANY, 5)
    broken = np.full(8, np.nan, dtype=np.float32)
    with pytest.raises(DependencyRejected) as caught:
        await vectors.upsert(
            [entry(document("a", "customers"), None, 2), entry(document("b", "orders"), broken, 2)]
        )
    assert caught.value.port == "vectors"
    assert await vectors.search("orders", unit(1), MODEL, ANY, 5) == before
    assert await vectors.count() == 1


async def test_writers_of_the_same_documents_do_not_deadlock(emptied: AsyncEngine) -> None:
    """In whatever order they come, the newest version stays and the statistics are right."""
    vectors, expected = PostgresVectors(emptied), MemoryVectors()
    versions = range(1, 9)

    def written(version: int) -> list[Entry]:
        found = catalogue(version, 60)
        entries = [replace(one, version=version) for one in found]
        return entries if version % 2 else entries[::-1]

    gone = {f"urn{number:03}": 5 for number in range(0, 300, 3)}
    async with asyncio.timeout(60):
        await asyncio.gather(
            *(vectors.upsert(written(version)) for version in versions), vectors.delete(gone)
        )
    for version in versions:
        await expected.upsert(written(version))
    # Whether the removal came before or after an older one is chance: again, when all is there.
    for index in (vectors, expected):
        await index.delete(gone)
    assert await vectors.urns() == await expected.urns()
    found = await vectors.search("order customer", unit(1), MODEL, ANY, 1000)
    assert_best(found, await expected.search("order customer", unit(1), MODEL, ANY, 1000), 1000)


async def test_two_processes_meet_a_new_model_at_once(emptied: AsyncEngine) -> None:
    writers = [PostgresVectors(emptied) for _ in range(4)]
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(
                writer.upsert([entry(document(f"{number}", "orders"), unit(1), 1, "brand new@8")])
                for number, writer in enumerate(writers)
            )
        )
    found = await writers[0].search("", unit(1), "brand new@8", ANY, 9)
    assert urns(found) == ["0", "1", "2", "3"]


async def test_a_model_that_nothing_uses_any_more_leaves_no_index(emptied: AsyncEngine) -> None:
    vectors = PostgresVectors(emptied)
    names = "SELECT indexname FROM pg_indexes WHERE indexname LIKE :prefix"

    async def indexes() -> set[str]:
        async with emptied.connect() as connection:
            found = await connection.scalars(text(names), {"prefix": f"{NEAREST_INDEX_PREFIX}%"})
            return set(found)

    def of(model: str) -> set[str]:
        return {nearest_index_name(table, model) for table in (dataset_vectors, group_vectors)}

    def written(urn: str, version: int, model: str) -> Entry:
        return entry(document(urn, "orders"), unit(1), version, model, [unit(0, 1)])

    others = await indexes() - of("old@8") - of("new@8")
    await vectors.upsert([written("a", 1, "old@8"), written("b", 1, "old@8")])
    await vectors.upsert([written("a", 2, "new@8")])
    assert await indexes() - others == of("old@8") | of("new@8")
    async with asyncio.timeout(30):
        await asyncio.gather(
            vectors.upsert([written("b", 2, "new@8")]),
            *(vectors.search("orders", unit(1), "old@8", ANY, 5) for _ in range(20)),
        )
    assert await indexes() - others == of("new@8")
    await vectors.delete({"a": 2, "b": 2})
    assert await indexes() - others == set()
    await vectors.upsert([written("a", 3, "old@8")])
    assert urns(await vectors.search("", unit(1), "old@8", ANY, 5)) == ["a"]


async def test_calls_take_as_many_statements_for_one_document_as_for_fifty(
    emptied: AsyncEngine,
) -> None:
    vectors = PostgresVectors(emptied)
    entries = [entry(document(f"{n:02}", "orders"), unit(1, n)) for n in range(50)]
    await vectors.upsert(entries)

    async def statements(some: Sequence[Entry]) -> list[int]:
        names, counted, sent = [one.document.urn for one in some], [], []
        event.listen(
            emptied.sync_engine,
            "before_cursor_execute",
            lambda *arguments: sent.append(arguments[2]),
            named=False,
        )
        for call in (
            vectors.upsert(some),
            vectors.versions(names),
            vectors.search("orders", unit(1), MODEL, ANY, len(some)),
            vectors.search("orders", None, None, ANY, len(some)),
            vectors.neighbours(names, len(some)),
            vectors.delete(dict.fromkeys(names, 0)),
        ):
            sent.clear()
            await call
            counted.append(len(sent))
        return counted

    one, fifty = await statements(entries[:1]), await statements(entries)
    assert one == fifty
    assert one[1:5] == [1, 3, 2, 2]


async def test_a_server_that_is_down_is_told_by_the_name_of_the_port() -> None:
    engine = create_engine(StoreSettings(url="postgresql+asyncpg://nobody@127.0.0.1:9/none"))
    vectors = PostgresVectors(engine)
    for call in (
        vectors.search("orders", None, None, ANY, 5),
        vectors.upsert([entry(document("a"))]),
        vectors.delete({"a": 1}),
        vectors.versions(["a"]),
        vectors.neighbours(["a"], 5),
        vectors.urns(),
        vectors.count(),
    ):
        with pytest.raises(DependencyUnavailable) as caught:
            await call
        assert caught.value.port == "vectors"
    await engine.dispose()


async def test_a_writer_that_waits_too_long_for_another_gives_up(
    emptied: AsyncEngine, database_url: str
) -> None:
    hasty = create_engine(StoreSettings(url=database_url, statement_timeout_s=0.2))
    async with emptied.begin() as connection:
        await connection.execute(text("LOCK TABLE documents IN EXCLUSIVE MODE"))
        with pytest.raises(DependencyTimeout) as caught:
            await PostgresVectors(hasty).upsert([entry(document("a", "orders"))])
    assert caught.value.port == "vectors"
    await PostgresVectors(hasty).upsert([entry(document("a", "orders"))])
    await hasty.dispose()


async def test_an_unmigrated_database_says_how_to_mend_it(
    emptied: AsyncEngine, database_url: str
) -> None:
    async with new_database(database_url) as url:
        engine = create_engine(StoreSettings(url=url))
        with pytest.raises(ConfigurationError, match="dataspoke db upgrade"):
            await PostgresVectors(engine).count()
        await engine.dispose()

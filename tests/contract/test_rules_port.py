"""What any store keeps of rules and schemas: in memory and on PostgreSQL, by the same tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from dataspoke.errors import Conflict
from dataspoke.ports.store import Store
from dataspoke.quality.model import Check, Judgement, Point, Result, Severity, Status
from dataspoke.quality.rules.files import read_rules
from dataspoke.quality.rules.model import Rule, RuleSpec, SchemaVersion

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FILE = """
- name: volume
  description: Orders come every day.
  severity: WARN
  select: {names: ["shop.*"], platforms: [postgres], tags: [gold], domains: [sales], owners: [ada]}
  schedule: "0 8 * * *"
  time_zone: Europe/Berlin
  mutes:
    - {days: [sat], start: "22:00", end: "06:00"}
    - {since: "2026-12-24T00:00:00+01:00", until: "2026-12-27T00:00:00Z"}
  volume: {change_percent: {min: -12.5, max: 50}}
- name: freshness
  select: {names: ["*"]}
  enabled: false
  freshness: {cron: "0 6 * * *", grace: 90m, time_zone: Europe/Berlin}
- name: schema
  select: {names: ["*"]}
  schema:
    {columns: [{name: id, type: bigint}, {name: email}], no_breaking_changes: true, window: 3d}
- name: values
  select: {names: ["*"]}
  column: {name: state, accepted_values: [open, "no", 1]}
- name: pattern
  select: {names: ["*"]}
  column: {name: email, pattern: {regex: "^.+@.+$", min_share: 0.9}}
- name: sql
  select: {names: ["*"]}
  sql: {connection: shop, query: "SELECT count(*) FROM x", expect: {operator: "<=", threshold: 3}}
"""
SPECS, _ERRORS = read_rules(FILE, "rules.yaml")


def rule(spec: RuleSpec = SPECS[0], rule_id: UUID | None = None) -> Rule:
    return Rule(
        id=rule_id or uuid4(),
        spec=spec,
        version=0,
        created_at=NOON,
        created_by="urn:li:corpuser:ada",
        updated_at=NOON,
        updated_by="urn:li:corpuser:ada",
        source="warehouse",
    )


async def save(store: Store, *rules: Rule) -> list[Rule]:
    async with store.transaction() as tx:
        return [await tx.save_rule(one) for one in rules]


async def test_rules_of_every_kind_come_back_as_they_were_saved(store: Store) -> None:
    assert not _ERRORS
    saved = await save(store, *(rule(spec) for spec in SPECS))
    assert [one.version for one in saved] == [1] * 6
    assert await store.rules() == sorted(saved, key=lambda one: one.spec.name)
    assert await store.rule(saved[3].id) == saved[3]
    assert await store.rule(uuid4()) is None


async def test_a_change_keeps_who_created_the_rule(store: Store) -> None:
    (first,) = await save(store, rule())
    later = replace(
        first,
        spec=replace(first.spec, name="renamed", severity=Severity.ERROR),
        created_by="urn:li:corpuser:nobody",
        created_at=NOON + DAY,
        updated_by="urn:li:corpuser:bob",
        updated_at=NOON + DAY,
        source=None,
    )
    (second,) = await save(store, later)
    assert second == replace(later, version=2, created_by="urn:li:corpuser:ada", created_at=NOON)
    assert await store.rules() == [second]


async def test_what_somebody_else_changed_is_not_overwritten(store: Store) -> None:
    (first,) = await save(store, rule())
    await save(store, replace(first, source="other"))
    for stale in (first, replace(first, version=0), replace(first, version=7)):
        with pytest.raises(Conflict):
            await save(store, stale)
    async with store.transaction() as tx:
        with pytest.raises(Conflict, match="meanwhile"):
            await tx.delete_rule(first.id, first.version)
    assert [one.source for one in await store.rules()] == ["other"]


async def test_a_name_is_there_once(store: Store) -> None:
    _, other = await save(store, rule(SPECS[0]), rule(SPECS[1]))
    with pytest.raises(Conflict, match="rule volume already"):
        await save(store, rule(SPECS[0]))
    with pytest.raises(Conflict, match="rule volume already"):
        await save(store, replace(other, spec=replace(other.spec, name="volume")))
    assert [one.spec.name for one in await store.rules()] == ["freshness", "volume"]


async def test_a_deleted_rule_is_gone_and_its_name_free(store: Store) -> None:
    (first,) = await save(store, rule())
    async with store.transaction() as tx:
        await tx.delete_rule(first.id, first.version)
        with pytest.raises(Conflict):
            await tx.delete_rule(first.id, first.version)
    assert await store.rules() == []
    await save(store, rule())


async def test_nothing_is_kept_of_a_transaction_that_fails(store: Store) -> None:
    await save(store, rule(SPECS[1]))
    with pytest.raises(Conflict):
        await save(store, rule(SPECS[0]), rule(SPECS[1]))
    assert [one.spec.name for one in await store.rules()] == ["freshness"]


async def test_results_of_a_rule_come_newest_first(store: Store) -> None:
    kept = uuid4()
    results = [
        Result(urn, Check(rule=of), Judgement(Point(NOON + n * DAY, n), Status.PASS, "rule"), NOON)
        for n in range(3)
        for urn in ("a", "b")
        for of in (kept, uuid4())
    ]
    async with store.transaction() as tx:
        await tx.save_results(results)
    mine = [one for one in results if one.check.rule == kept]
    assert await store.rule_results(kept, 3) == [mine[5], mine[4], mine[3]]
    assert await store.rule_results(uuid4(), 3) == []


async def test_only_changes_of_a_schema_are_kept(store: Store) -> None:
    def version(urn: str, day: int, *columns: tuple[str, str | None]) -> SchemaVersion:
        return SchemaVersion(urn, NOON + day * DAY, columns)

    old, new = (("id", "int"),), (("id", "int"), ("it's", None))
    for day, columns in enumerate((old, old, new, new, old)):
        async with store.transaction() as tx:
            await tx.save_schemas([version("a", day, *columns), version("b", day, *old)])
    assert await store.schemas_of(["a", "b", "c"], NOON) == {
        "a": [version("a", 0, *old), version("a", 2, *new), version("a", 4, *old)],
        "b": [version("b", 0, *old)],
    }
    later = await store.schemas_of(["a", "b"], NOON + 3 * DAY)
    assert later["a"] == [version("a", 2, *new), version("a", 4, *old)]
    assert later["b"] == [version("b", 0, *old)]
    assert (await store.schemas_of(["a"], NOON - DAY))["a"][0] == version("a", 0, *old)
    async with store.transaction() as tx:
        await tx.forget(["a"])
    assert await store.schemas_of(["a", "b"], NOON + 9 * DAY) == {"b": [version("b", 0, *old)]}

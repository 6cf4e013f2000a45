"""Rules for every kind of caller, and as scans ask them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from dataspoke.adapters.memory.clock import MemoryClock
from dataspoke.adapters.memory.hub import MemoryHub
from dataspoke.adapters.memory.store import MemoryStore
from dataspoke.catalogue import Dataset
from dataspoke.errors import Conflict, DependencyUnavailable, Forbidden, InvalidInput, NotFound
from dataspoke.ports.hub import Access, Actor
from dataspoke.ports.warehouse import Rows, Table
from dataspoke.quality.model import (
    Alert,
    AlertState,
    Check,
    DatasetQuality,
    Judgement,
    Point,
    Result,
    Status,
)
from dataspoke.quality.rules.model import Action, Evaluation, Kind, Rule, RuleSpec
from dataspoke.quality.rules.service import RuleService
from tests.support.rules import DAY, HOUR, NOW, counted, orders, spec, updated, urn

ORDERS, PAYROLL, SECRET = urn("shop.orders"), urn("shop.payroll"), urn("shop.secret")
VOLUME = "volume: {rows: {min: 1}}"
VIEW = Access(view_profile=True, view_operations=True, edit_assertions=False)


class OneDatabase:
    """Answers every query with the number of queries so far; fails for the words in it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def table(self, dataset: Dataset, connection: str | None) -> Table | None:
        return Table(connection or "shop", self.dialect("shop"), ("shop", "orders"))

    def dialect(self, connection: str) -> str:
        return "postgres"

    async def select(self, connection: str, sql: str) -> Rows:
        self.asked.append(sql)
        if "down" in sql:
            raise DependencyUnavailable("warehouse", "Connection shop broke off; try again.")
        if "bug" in sql:
            raise ZeroDivisionError
        return Rows([[len(self.asked)]])


class House:
    """The service in memory, with callers of every kind on three datasets.

    The editor may do everything to the orders and views the payroll; the secret is hidden from
    everybody but the manager. The stranger sees nothing.
    """

    def __init__(self) -> None:
        self.clock = MemoryClock(NOW)
        self.hub = MemoryHub()
        self.store = MemoryStore(self.clock)
        self.database = OneDatabase()
        self.rules = RuleService(self.hub, self.store, self.database, self.clock)
        for name in ("shop.orders", "shop.payroll", "shop.secret"):
            self.hub.put(orders(name=name))
        self.manager = self.hub.admit("manager", "urn:li:corpuser:manager", can_manage=True)
        self.editor = self.hub.admit(
            "editor", "urn:li:corpuser:editor", rights={PAYROLL: VIEW, SECRET: None}
        )
        self.viewer = self.hub.admit(
            "viewer", "urn:li:corpuser:viewer", rights={ORDERS: VIEW, PAYROLL: VIEW, SECRET: None}
        )
        self.stranger = self.hub.admit(
            "stranger", "urn:li:corpuser:stranger", rights=dict.fromkeys((ORDERS, PAYROLL, SECRET))
        )

    async def kept(self, *specs: RuleSpec) -> Sequence[Rule]:
        return [await self.rules.create(self.manager, one) for one in specs]

    async def evaluated(
        self, before: Sequence[Result] = (), *datasets: Dataset
    ) -> Mapping[str, Evaluation]:
        """Return what the rules say of the orders now, by name."""
        there = {d.urn: d for d in datasets or (orders(),)}
        verdict = DatasetQuality(ORDERS, Status.PASS, None, (), tuple(before), NOW)
        found = await self.rules.evaluate(
            there,
            {u: counted(4) for u in there},
            {u: updated(1) for u in there},
            {ORDERS: verdict} if before else {},
            self.clock.now(),
        )
        return {e.rule.spec.name: e for e in found.get(ORDERS, ())}


@pytest.fixture
def house() -> House:
    return House()


def on(*urns: str, name: str = "tried", body: str = VOLUME) -> RuleSpec:
    return spec(body, name, select="{urns: [" + ", ".join(f"'{one}'" for one in urns) + "]}")


BY_NAME = spec(VOLUME)
SQL = spec(
    "sql: {connection: shop, query: SELECT 1, expect: {operator: '=', threshold: 1}}",
    select=f"{{urns: ['{ORDERS}']}}",
)
NAMED_CONNECTION = on(ORDERS, body="column: {name: id, min: {min: 1}, connection: shop}")


@pytest.mark.parametrize(
    ("wanted", "outcomes"),
    [
        # manager, editor, viewer, stranger
        (on(ORDERS), (None, None, Forbidden, NotFound)),
        (on(PAYROLL), (None, Forbidden, Forbidden, NotFound)),
        (on(ORDERS, PAYROLL), (None, Forbidden, Forbidden, NotFound)),
        (on(ORDERS, SECRET), (None, NotFound, Forbidden, NotFound)),
        (BY_NAME, (None, Forbidden, Forbidden, Forbidden)),
        (SQL, (None, Forbidden, Forbidden, Forbidden)),
        (NAMED_CONNECTION, (None, Forbidden, Forbidden, Forbidden)),
    ],
)
async def test_who_may_write_which_rule(
    wanted: RuleSpec, outcomes: tuple[type[Exception] | None, ...]
) -> None:
    for number, outcome in enumerate(outcomes):
        house = House()
        actor = (house.manager, house.editor, house.viewer, house.stranger)[number]

        async def outcome_of(changing: object) -> type[Exception] | None:
            try:
                await changing  # type: ignore[misc]
            except (Forbidden, NotFound) as error:
                return type(error)
            return None

        assert await outcome_of(house.rules.create(actor, wanted)) is outcome, actor.urn
        applied = house.rules.apply(
            actor, [replace(wanted, name="applied")], "set", prune=False, dry_run=False
        )
        assert await outcome_of(applied) is outcome
        tried = house.rules.dry_run(actor, wanted, 3 * DAY)
        assert await outcome_of(tried) is outcome
        if outcome is None:
            continue
        (rule,) = await house.kept(wanted)
        for changing in (
            house.rules.update(actor, rule.id, rule.version, on(ORDERS)),
            house.rules.delete(actor, rule.id),
        ):
            assert await outcome_of(changing) in (Forbidden, NotFound)
        assert [r.spec for r in await house.store.rules()] == [wanted]


async def test_a_rule_cannot_be_moved_onto_what_one_may_not_edit(house: House) -> None:
    mine = await house.rules.create(house.editor, on(ORDERS))
    for wanted in (on(PAYROLL), BY_NAME, SQL):
        with pytest.raises(Forbidden):
            await house.rules.update(house.editor, mine.id, mine.version, wanted)
    changed = await house.rules.update(
        house.editor, mine.id, mine.version, replace(on(ORDERS), enabled=False)
    )
    assert (changed.version, changed.spec.enabled) == (2, False)
    with pytest.raises(Conflict, match="meanwhile"):
        await house.rules.update(house.editor, mine.id, mine.version, on(ORDERS))


async def test_everybody_sees_the_rules_they_may(house: House) -> None:
    both, hidden, all_of_them = await house.kept(
        on(ORDERS, SECRET, name="both"), on(SECRET, name="hidden"), replace(BY_NAME, name="names")
    )

    async def listed(actor: Actor) -> list[RuleSpec]:
        return [rule.spec for rule in (await house.rules.listed(actor, None, 10, None)).rules]

    narrowed = on(ORDERS, name="both")
    assert await listed(house.manager) == [both.spec, hidden.spec, all_of_them.spec]
    assert await listed(house.editor) == await listed(house.viewer) == [narrowed]
    assert await listed(house.stranger) == []
    assert (await house.rules.rule(house.viewer, both.id)).spec == narrowed
    for rule_id in (hidden.id, all_of_them.id, uuid4()):
        with pytest.raises(NotFound):
            await house.rules.rule(house.viewer, rule_id)
    asked = [ORDERS, PAYROLL, SECRET]
    shown = await house.rules.rules_for(house.viewer, asked)
    assert {u: [r.spec.name for r in rules] for u, rules in shown.items()} == {
        ORDERS: ["both", "names"],
        PAYROLL: ["names"],
    }
    assert shown[ORDERS][0].spec == narrowed
    assert set(await house.rules.rules_for(house.manager, asked)) == set(asked)
    assert await house.rules.rules_for(house.stranger, asked) == {}


async def test_pages_of_rules_hold_each_once(house: House) -> None:
    names = [f"rule-{number}" for number in range(7)]
    await house.kept(*(replace(BY_NAME, name=name) for name in names))
    seen, after = [], None
    while True:
        page = await house.rules.listed(house.manager, [Kind.VOLUME], 3, after)
        seen += [rule.spec.name for rule in page.rules]
        if not page.has_next:
            break
        after = page.cursors[-1]
    assert seen == names
    assert not (await house.rules.listed(house.manager, [Kind.SQL], 3, None)).rules
    with pytest.raises(InvalidInput, match="cursor"):
        await house.rules.listed(house.manager, None, 3, "no cursor!")


async def test_results_are_shown_of_what_one_may_see(house: House) -> None:
    (rule,) = await house.kept(BY_NAME)
    judgement = Judgement(Point(NOW, 1.0), Status.PASS, "rule")
    results = [Result(u, rule.check, judgement, NOW) for u in (ORDERS, SECRET)]
    async with house.store.transaction() as tx:
        await tx.save_results(results)
    assert list(await house.rules.results(house.viewer, rule.id, 9)) == [results[0]]
    assert len(await house.rules.results(house.manager, rule.id, 9)) == 2
    assert list(await house.rules.results(house.stranger, rule.id, 9)) == []


async def test_every_change_is_recorded_by_id_alone(house: House) -> None:
    rule = await house.rules.create(house.editor, on(ORDERS))
    await house.rules.update(house.editor, rule.id, 1, on(ORDERS, name="renamed"))
    await house.rules.delete(house.editor, rule.id)
    by = house.editor.urn
    assert list(house.store.audit_log) == [
        (by, action, (str(rule.id),)) for action in ("create_rule", "update_rule", "delete_rule")
    ]


async def test_files_are_applied_as_a_whole_or_not_at_all(house: House) -> None:
    first, second = replace(BY_NAME, name="first"), replace(BY_NAME, name="second")

    async def applied(*specs: RuleSpec, **options: bool) -> list[Action]:
        chosen = {"prune": False, "dry_run": False, **options}
        changes = await house.rules.apply(house.manager, specs, "set", **chosen)
        return [change.action for change in changes]

    assert await applied(first, second, dry_run=True) == [Action.CREATE] * 2
    assert list(await house.store.rules()) == []
    assert await applied(first, second) == [Action.CREATE] * 2
    before = await house.store.rules()
    assert await applied(second, first, prune=True) == [Action.NONE] * 2
    assert await house.store.rules() == before
    assert len(house.store.audit_log) == 1
    changed = replace(first, description="because")
    assert await applied(changed, prune=True) == [Action.UPDATE, Action.DELETE]
    (kept,) = await house.store.rules()
    assert (kept.spec, kept.version, kept.id) == (changed, 2, before[0].id)
    writing = spec(
        "sql: {connection: shop, query: DELETE FROM x, expect: {no_rows: true}}", "writing"
    )
    with pytest.raises(InvalidInput, match="Rule writing: The query"):
        await applied(second, writing)
    with pytest.raises(InvalidInput, match="More than one rule is named second"):
        await applied(second, second)
    assert await house.store.rules() == [kept]


def alert_of(rule_id: UUID, dataset: str = ORDERS) -> Alert:
    identity = uuid4()
    return Alert(
        identity, dataset, Check(rule=rule_id), AlertState.OPEN, str(identity), NOW, NOW, 0.0, "x"
    )


async def test_what_no_scan_will_end_is_closed(house: House) -> None:
    kept = await house.kept(*(on(ORDERS, PAYROLL, name=name) for name in "abcd"))
    deleted, disabled, moved, changed = kept
    async with house.store.transaction() as tx:
        await tx.save_alerts([alert_of(r.id, u) for r in kept for u in (ORDERS, PAYROLL)])
    await house.rules.delete(house.manager, deleted.id)
    off = replace(disabled.spec, enabled=False)
    await house.rules.update(house.manager, disabled.id, 1, off)
    await house.rules.update(house.manager, moved.id, 1, on(PAYROLL, name="c"))
    await house.rules.update(house.manager, changed.id, 1, replace(changed.spec, description="x"))
    active = await house.store.active_alerts(None)
    assert {u: {a.check.rule for a in alerts} for u, alerts in active.items()} == {
        ORDERS: {changed.id},
        PAYROLL: {moved.id, changed.id},
    }


async def test_only_enabled_rules_that_select_a_dataset_are_asked(house: House) -> None:
    await house.kept(
        on(ORDERS, name="on"),
        replace(on(ORDERS, name="off"), enabled=False),
        on(PAYROLL, name="elsewhere"),
    )
    found = await house.evaluated()
    assert list(found) == ["on"]
    evaluation = found["on"]
    assert evaluation.fresh
    assert not evaluation.continues
    assert evaluation.result.judgement.status is Status.PASS
    assert evaluation.result.check == evaluation.rule.check
    assert evaluation.result.dimension is evaluation.rule.spec.dimension


async def test_a_rule_that_is_not_due_says_what_it_said(house: House) -> None:
    (rule,) = await house.kept(replace(on(ORDERS), schedule="0 6 * * *"))
    house.clock.advance(HOUR)
    first = (await house.evaluated())["tried"]
    assert first.fresh
    house.clock.advance(HOUR)
    second = (await house.evaluated([first.result]))["tried"]
    assert (second.fresh, second.result) == (False, first.result)
    house.clock.advance(DAY)
    assert (await house.evaluated([first.result]))["tried"].fresh
    await house.rules.update(house.manager, rule.id, 1, replace(rule.spec, description="changed"))
    house.clock.advance(timedelta(minutes=1))
    assert (await house.evaluated([first.result]))["tried"].fresh


async def test_a_rule_that_fails_again_tells_of_the_same_fault(house: House) -> None:
    (rule,) = await house.kept(on(ORDERS, body="volume: {rows: {min: 9}}"))
    first = (await house.evaluated())["tried"]
    assert (first.result.judgement.status, first.continues) == (Status.FAIL, False)
    assert (await house.evaluated([first.result]))["tried"].continues
    good = replace(first.result, judgement=replace(first.result.judgement, status=Status.PASS))
    assert not (await house.evaluated([good]))["tried"].continues
    assert rule.id == first.rule.id


async def test_a_muted_rule_is_evaluated_and_marked(house: House) -> None:
    muted = spec(VOLUME, more=f"mutes: [{{until: '{(NOW + HOUR).isoformat()}'}}]")
    await house.kept(muted)
    assert (await house.evaluated())["tried"].muted
    house.clock.advance(HOUR)
    assert not (await house.evaluated())["tried"].muted


async def test_what_fails_in_one_rule_stays_there(house: House) -> None:
    def sql(word: str) -> RuleSpec:
        expect = "{operator: '>', threshold: 0}"
        return spec(f"sql: {{connection: shop, query: SELECT '{word}', expect: {expect}}}", word)

    await house.kept(sql("down"), sql("bug"), sql("good"), replace(BY_NAME, name="volume"))
    found = {name: e.result.judgement for name, e in (await house.evaluated()).items()}
    assert {name: j.status for name, j in found.items()} == {
        "down": Status.ERROR,
        "bug": Status.ERROR,
        "good": Status.PASS,
        "volume": Status.PASS,
    }
    assert found["down"].detail == "rule down: connection shop broke off; try again"
    assert "unexpected error" in (found["bug"].detail or "")


async def test_queries_that_take_too_long_together_are_given_up(house: House) -> None:
    class Stuck(OneDatabase):
        async def select(self, connection: str, sql: str) -> Rows:
            await asyncio.Event().wait()
            raise AssertionError

    rules = RuleService(
        house.hub, house.store, Stuck(), house.clock, queries=timedelta(milliseconds=50)
    )
    await house.kept(SQL)
    found = await rules.evaluate({ORDERS: orders()}, {}, {}, {}, NOW)
    judgement = found[ORDERS][0].result.judgement
    assert judgement.status is Status.ERROR
    assert "took too long" in (judgement.detail or "")


async def test_a_scan_of_many_datasets_reads_the_store_once(house: House) -> None:
    await house.kept(BY_NAME)
    datasets = {urn(f"t{n}"): orders(name=f"t{n}") for n in range(50)}
    found = await house.rules.evaluate(datasets, {}, {}, {}, NOW)
    assert set(found) == set(datasets)


async def test_a_dry_run_shows_visible_datasets_only(house: House) -> None:
    for name in ("shop.orders", "shop.payroll", "shop.secret"):
        house.hub.put(orders(name=name), profiles=counted(1, 0, 1))
    run = await house.rules.dry_run(house.manager, BY_NAME, 10 * DAY)
    assert ([u for u, _ in run.judgements], run.complete) == ([ORDERS, PAYROLL, SECRET], True)
    assert [j.status for j in run.judgements[0][1]] == [
        Status.PASS,
        Status.FAIL,
        Status.PASS,
        Status.PASS,
    ]
    shorter = await house.rules.dry_run(house.editor, on(ORDERS), timedelta(days=1, hours=2))
    assert len(shorter.judgements[0][1]) == 3
    for over in (timedelta(0), timedelta(days=366)):
        with pytest.raises(InvalidInput, match="days must be 1 to 365"):
            await house.rules.dry_run(house.manager, BY_NAME, over)


async def test_a_dry_run_of_many_datasets_says_that_it_is_not_all(house: House) -> None:
    for number in range(30):
        house.hub.put(orders(name=f"many.{number}"))
    many = spec(VOLUME, select="{names: ['many.*']}")
    run = await house.rules.dry_run(house.manager, many, DAY)
    assert (len(run.judgements), run.complete) == (20, False)
    few = spec(VOLUME, select="{names: ['many.1?']}")
    run = await house.rules.dry_run(house.manager, few, DAY)
    assert (len(run.judgements), run.complete) == (10, True)

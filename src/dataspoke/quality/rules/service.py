"""Rules as people meet them: written, listed, tried, and asked by every scan."""

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from dataspoke.catalogue import Dataset, Operation, Profile
from dataspoke.errors import ConfigurationError, Conflict, Forbidden, InvalidInput, NotFound
from dataspoke.ports.clock import Clock
from dataspoke.ports.hub import Actor, Hub
from dataspoke.ports.store import Store, Transaction
from dataspoke.ports.warehouse import Warehouses
from dataspoke.quality import alerts as life
from dataspoke.quality.model import Alert, DatasetQuality, Judgement, Result, Status
from dataspoke.quality.rules.asking import ask
from dataspoke.quality.rules.evaluation import Facts, judge
from dataspoke.quality.rules.model import (
    Action,
    Change,
    DryRun,
    Evaluation,
    Kind,
    Rule,
    RulePage,
    RuleSpec,
    SchemaVersion,
    plan,
)
from dataspoke.quality.rules.selectors import matcher, matches
from dataspoke.quality.rules.statements import require_select

# Of all queries of one scan together; the scan has other things to do.
_QUERIES = timedelta(seconds=120)
# A change of schema may be looked for this far back.
_SCHEMAS = timedelta(days=365)
_BEFORE = timedelta(days=30)
_LONGEST_TRY = timedelta(days=365)
_TRIED_DATASETS = 20
_LOOKED_THROUGH = 5_000
_BATCH = 200
_MOST_RULES = 2_000
_FAILING = (Status.FAIL, Status.WARN)


class RuleService:
    """Keeps rules, shows each caller those they may see, and asks them.

    Who may manage DataSpoke may see and change every rule. Anybody else sees the rules that name
    datasets whose profile they may view, and changes those that name only datasets whose
    assertions they may edit, and no connection: a query sees more than its author may.
    """

    def __init__(
        self,
        hub: Hub,
        store: Store,
        warehouses: Warehouses,
        clock: Clock,
        *,
        queries: timedelta = _QUERIES,
    ) -> None:
        """``queries`` is how long the queries of one scan, or of one try, may take together."""
        self._queries_s = queries.total_seconds()
        self._hub = hub
        self._store = store
        self._warehouses = warehouses
        self._clock = clock

    async def evaluate(
        self,
        datasets: Mapping[str, Dataset],
        profiles: Mapping[str, Sequence[Profile]],
        operations: Mapping[str, Sequence[Operation]],
        previous: Mapping[str, DatasetQuality],
        now: datetime,
    ) -> Mapping[str, Sequence[Evaluation]]:
        """Return for each dataset what the enabled rules that select it say, by name.

        ``previous`` are the verdicts before this scan. A rule that is not due says what it said
        then, and nothing where it has said nothing yet. What is wrong with one rule is that rule's
        result, Status.ERROR; only a store that is down raises.
        """
        rules = [
            (rule, matcher(rule.spec.select))
            for rule in await self._store.rules()
            if rule.spec.enabled
        ]
        asked = [
            (urn, rule)
            for urn, dataset in datasets.items()
            for rule, selects in rules
            if selects(dataset)
        ]
        if not asked:
            return {}
        facts = await self._facts(
            {urn: datasets[urn] for urn, _ in asked}, profiles, operations, now
        )
        before = {
            (urn, result.check.rule): result
            for urn, verdict in previous.items()
            for result in verdict.results
            if result.check.rule is not None
        }
        deadline = asyncio.get_running_loop().time() + self._queries_s
        evaluations = await asyncio.gather(
            *(
                self._evaluate(rule, facts[urn], before.get((urn, rule.id)), now, deadline)
                for urn, rule in asked
            )
        )
        found: dict[str, list[Evaluation]] = {}
        for evaluation in evaluations:
            found.setdefault(evaluation.result.urn, []).append(evaluation)
        return found

    async def rules_for(self, actor: Actor, urns: Sequence[str]) -> Mapping[str, Sequence[Rule]]:
        """Return the rules that select each dataset whose profile the actor may view, by name."""
        access = await self._hub.access(actor, urns)
        visible = [urn for urn in urns if urn in access and access[urn].view_profile]
        if not visible:
            return {}
        datasets, rules = await asyncio.gather(self._hub.datasets(visible), self._store.rules())
        selectors = [(rule, matcher(rule.spec.select)) for rule in rules]
        found = {
            urn: [rule for rule, selects in selectors if selects(dataset)]
            for urn, dataset in datasets.items()
        }
        shown = {
            rule.id: rule
            for rule in await self._shown(actor, {r.id: r for f in found.values() for r in f})
        }
        return {
            # What selects this dataset by its tags is known to whoever sees the dataset.
            urn: [shown.get(rule.id, rule) for rule in selecting]
            for urn, selecting in found.items()
        }

    async def listed(
        self, actor: Actor, kinds: Sequence[Kind] | None, first: int, after: str | None
    ) -> RulePage:
        """Return up to ``first`` visible rules by name, from after a cursor on; None is any kind.

        Raises InvalidInput for a cursor that is not one.
        """
        behind = "" if after is None else _name(after)
        found = [
            rule
            for rule in await self._store.rules()
            if rule.spec.name > behind and (kinds is None or rule.spec.kind in kinds)
        ]
        visible = await self._shown(actor, {rule.id: rule for rule in found})
        page = tuple(visible[:first])
        cursors = tuple(_cursor(rule.spec.name) for rule in page)
        return RulePage(page, cursors, has_next=len(visible) > first)

    async def rule(self, actor: Actor, rule_id: UUID) -> Rule:
        """Return a rule; raises NotFound where there is none that the actor may see."""
        found = await self._store.rule(rule_id)
        visible = [] if found is None else await self._shown(actor, {found.id: found})
        if not visible:
            raise NotFound(f"There is no rule {rule_id}.")
        return visible[0]

    async def results(self, actor: Actor, rule_id: UUID, limit: int) -> Sequence[Result]:
        """Return a rule's newest results on datasets whose profile the actor may view."""
        found = await self._store.rule_results(rule_id, limit)
        access = await self._hub.access(actor, list(dict.fromkeys(r.urn for r in found)))
        return [r for r in found if r.urn in access and access[r.urn].view_profile]

    async def create(self, actor: Actor, spec: RuleSpec) -> Rule:
        """Keep a new rule; the next scan asks it.

        This and the other changes raise Forbidden without the rights (see the class), NotFound for
        a dataset that the actor cannot see, Conflict where the name is taken, and InvalidInput for
        a query that could not be run.
        """
        await self._require_may_write(actor, spec)
        self._require_usable(spec)
        async with self._store.transaction() as tx:
            saved = await tx.save_rule(self._new(actor, spec, None))
            await tx.audit(actor.urn, "create_rule", [str(saved.id)])
        return saved

    async def update(self, actor: Actor, rule_id: UUID, version: int, spec: RuleSpec) -> Rule:
        """Replace a rule; raises Conflict where ``version`` is not the newest.

        What it was alerting on and no longer selects is closed.
        """
        known = await self._to_change(actor, rule_id)
        await self._require_may_write(actor, spec)
        self._require_usable(spec)
        if known.version != version:
            raise Conflict(f"Rule {known.spec.name} has been changed meanwhile: read it again.")
        changed = self._changed(actor, known, spec, known.source)
        ended = await self._no_longer_selected([changed])
        async with self._store.transaction() as tx:
            saved = await tx.save_rule(changed)
            await self._close(tx, actor, ended)
            await tx.audit(actor.urn, "update_rule", [str(rule_id)])
        return saved

    async def delete(self, actor: Actor, rule_id: UUID) -> Rule:
        """Remove a rule, close its alerts and keep its results; returns what it was."""
        known = await self._to_change(actor, rule_id)
        ended = await self._alerts_of([rule_id])
        async with self._store.transaction() as tx:
            await tx.delete_rule(rule_id, known.version)
            await self._close(tx, actor, ended)
            await tx.audit(actor.urn, "delete_rule", [str(rule_id)])
        return known

    async def apply(
        self,
        actor: Actor,
        specs: Sequence[RuleSpec],
        source: str,
        *,
        prune: bool,
        dry_run: bool,
    ) -> Sequence[Change]:
        """Make the rules be as in ``specs``, all or none, and return what that changes.

        Rules are the same by name. With ``prune`` those that ``source`` manages and that are not
        among them are deleted. With ``dry_run`` nothing is changed.
        """
        _require_sensible(specs, source)
        kept = await self._store.rules()
        changes = plan(tuple(kept), tuple(specs), source, prune=prune)
        known = {rule.spec.name: rule for rule in kept}
        for change in changes:
            for spec in (change.before, change.after):
                # What is there already is shown to whoever may write it.
                if spec is not None:
                    await self._require_may_write(actor, spec)
            if change.after is not None:
                self._require_usable(change.after)
        moved = [change for change in changes if change.action is not Action.NONE]
        if dry_run or not moved:
            return changes
        saved = [
            self._changed(actor, known[change.name], change.after, source)
            if change.name in known
            else self._new(actor, change.after, source)
            for change in moved
            if change.after is not None
        ]
        deleted = [known[change.name] for change in moved if change.after is None]
        ended = [
            *await self._no_longer_selected([rule for rule in saved if rule.version]),
            *await self._alerts_of([rule.id for rule in deleted]),
        ]
        async with self._store.transaction() as tx:
            for rule in deleted:
                await tx.delete_rule(rule.id, rule.version)
            for rule in saved:
                await tx.save_rule(rule)
            await self._close(tx, actor, ended)
            await tx.audit(actor.urn, "apply_rules", [str(rule.id) for rule in (*saved, *deleted)])
        return changes

    async def dry_run(self, actor: Actor, spec: RuleSpec, over: timedelta) -> DryRun:
        """Return what a rule would have said over this time until now, had it been there.

        Each profile is judged at its time, freshness once a day, a schema where it changed; a
        query sees the present alone. Up to twenty datasets are tried. Needs the same rights as
        creating the rule.
        """
        if not timedelta(0) < over <= _LONGEST_TRY:
            raise InvalidInput(f"days must be 1 to {_LONGEST_TRY.days}.")
        await self._require_may_write(actor, spec)
        self._require_usable(spec)
        now = self._clock.now()
        since = now - over
        datasets, complete = await self._selected(actor, spec)
        profiles, operations = await asyncio.gather(
            self._hub.profiles(list(datasets), since - _BEFORE),
            self._hub.operations(list(datasets), since - _BEFORE),
        )
        facts = await self._facts(datasets, profiles, operations, now)
        deadline = asyncio.get_running_loop().time() + self._queries_s
        judgements = await asyncio.gather(
            *(self._try(spec, facts[urn], since, now, deadline) for urn in datasets)
        )
        return DryRun(tuple(zip(datasets, judgements, strict=True)), complete)

    async def _evaluate(
        self, rule: Rule, facts: Facts, before: Result | None, now: datetime, deadline: float
    ) -> Evaluation:
        muted = rule.spec.muted(now)
        if (
            before is not None
            and before.judged_at > rule.updated_at
            and not rule.spec.due(before.judged_at, now)
        ):
            return Evaluation(rule, before, fresh=False, muted=muted)
        judgement = await ask(rule.spec, facts, now, self._warehouses, deadline)
        result = Result(facts.dataset.urn, rule.check, judgement, now, rule.spec.dimension)
        continues = (
            before is not None
            and before.judgement.status in _FAILING
            and judgement.status in _FAILING
        )
        return Evaluation(rule, result, continues=continues, muted=muted)

    async def _facts(
        self,
        datasets: Mapping[str, Dataset],
        profiles: Mapping[str, Sequence[Profile]],
        operations: Mapping[str, Sequence[Operation]],
        now: datetime,
    ) -> Mapping[str, Facts]:
        schemas = await self._store.schemas_of(list(datasets), now - _SCHEMAS)
        return {
            urn: Facts(
                dataset,
                profiles.get(urn, ()),
                operations.get(urn, ()),
                [*schemas.get(urn, ()), SchemaVersion.of(urn, dataset.fields, now)],
            )
            for urn, dataset in datasets.items()
        }

    async def _try(
        self, spec: RuleSpec, facts: Facts, since: datetime, now: datetime, deadline: float
    ) -> tuple[Judgement, ...]:
        match spec.kind:
            case Kind.FRESHNESS:
                count = (now - since) // timedelta(days=1)
                times = [now - timedelta(days=1) * day for day in range(count, 0, -1)]
            case Kind.SCHEMA:
                times = [schema.seen_at for schema in facts.schemas[:-1]]
            case Kind.VOLUME | Kind.COLUMN:
                times = [run.time for run in facts.profiles]
            case Kind.SQL:
                times = []
        past = [judge(spec, facts, at) for at in times if since <= at < now]
        present = await ask(spec, facts, now, self._warehouses, deadline)
        return (*(judgement for judgement in past if judgement is not None), present)

    async def _selected(self, actor: Actor, spec: RuleSpec) -> tuple[dict[str, Dataset], bool]:
        """Return datasets that the rule selects and the actor may see, and whether that is all."""
        if spec.select.urns:
            return await self._visible(actor, spec, spec.select.urns)
        found: dict[str, Dataset] = {}
        seen = 0
        async for urns in self._hub.scroll(_BATCH):
            more, complete = await self._visible(actor, spec, urns)
            found |= more
            seen += len(urns)
            if not complete or len(found) > _TRIED_DATASETS or seen >= _LOOKED_THROUGH:
                return dict(list(found.items())[:_TRIED_DATASETS]), False
        return found, True

    async def _visible(
        self, actor: Actor, spec: RuleSpec, urns: Sequence[str]
    ) -> tuple[dict[str, Dataset], bool]:
        datasets = await self._hub.datasets(urns)
        selects = matcher(spec.select)
        selected = [urn for urn, dataset in datasets.items() if selects(dataset)]
        tried = selected[: _TRIED_DATASETS + 1]
        access = await self._hub.access(actor, tried)
        found = {u: datasets[u] for u in tried if u in access and access[u].view_profile}
        return dict(list(found.items())[:_TRIED_DATASETS]), len(selected) <= _TRIED_DATASETS

    async def _shown(self, actor: Actor, rules: Mapping[UUID, Rule]) -> list[Rule]:
        """Return the rules that the actor may see, without the datasets that they may not."""
        if actor.can_manage:
            return list(rules.values())
        named = [rule for rule in rules.values() if rule.spec.select.urns]
        urns = list(dict.fromkeys(urn for rule in named for urn in rule.spec.select.urns))
        access = await self._hub.access(actor, urns) if urns else {}
        shown = []
        for rule in named:
            select = rule.spec.select
            visible = tuple(u for u in select.urns if u in access and access[u].view_profile)
            if visible:
                narrowed = replace(rule.spec, select=replace(select, urns=visible))
                shown.append(replace(rule, spec=narrowed))
        return shown

    async def _require_may_write(self, actor: Actor, spec: RuleSpec) -> None:
        if actor.can_manage:
            return
        if spec.names_connection:
            raise Forbidden(
                f"Rule {spec.name} asks a connection, which needs the right to manage DataSpoke."
            )
        if not spec.select.only_urns:
            raise Forbidden(
                f"Rule {spec.name} selects by more than urns, which needs the right to manage "
                "DataSpoke; name the datasets by select.urns alone."
            )
        access = await self._hub.access(actor, spec.select.urns)
        for urn in spec.select.urns:
            if urn not in access:
                raise NotFound(f"There is no dataset {urn}.")
            if not access[urn].edit_assertions:
                raise Forbidden(f"Rule {spec.name} needs the privilege Edit Assertions on {urn}.")

    def _require_usable(self, spec: RuleSpec) -> None:
        definition = spec.definition
        connection = getattr(definition, "connection", None)
        if connection is None:
            return
        try:
            dialect = self._warehouses.dialect(connection)
            if spec.sql is not None:
                require_select(spec.sql.query, dialect)
        except (ConfigurationError, InvalidInput) as error:
            raise InvalidInput(f"Rule {spec.name}: {error.public_message}") from error

    def _new(self, actor: Actor, spec: RuleSpec, source: str | None) -> Rule:
        now = self._clock.now()
        return Rule(uuid4(), spec, 0, now, actor.urn, now, actor.urn, source)

    def _changed(self, actor: Actor, rule: Rule, spec: RuleSpec, source: str | None) -> Rule:
        now = self._clock.now()
        return replace(rule, spec=spec, updated_at=now, updated_by=actor.urn, source=source)

    async def _to_change(self, actor: Actor, rule_id: UUID) -> Rule:
        """Return a rule with all that it selects, also what the actor may not see of it."""
        await self.rule(actor, rule_id)
        known = await self._store.rule(rule_id)
        if known is None:
            raise NotFound(f"There is no rule {rule_id}.")
        await self._require_may_write(actor, known.spec)
        return known

    async def _alerts_of(self, rule_ids: Sequence[UUID]) -> list[Alert]:
        active = await self._store.active_alerts(None) if rule_ids else {}
        return [a for alerts in active.values() for a in alerts if a.check.rule in rule_ids]

    async def _no_longer_selected(self, rules: Sequence[Rule]) -> list[Alert]:
        """Return alerts that no scan will ever end, as their rule does not ask there any more."""
        by_id = {rule.id: rule for rule in rules}
        alerts = await self._alerts_of(list(by_id))
        datasets = await self._hub.datasets(list({a.urn for a in alerts})) if alerts else {}
        return [
            alert
            for alert in alerts
            if alert.check.rule is not None
            and (
                not (spec := by_id[alert.check.rule].spec).enabled
                or alert.urn not in datasets
                or not matches(spec.select, datasets[alert.urn])
            )
        ]

    async def _close(self, tx: Transaction, actor: Actor, alerts: Sequence[Alert]) -> None:
        now = self._clock.now()
        await tx.save_alerts([life.close(alert, actor.urn, now) for alert in alerts])


def _require_sensible(specs: Sequence[RuleSpec], source: str) -> None:
    if not source or len(source) > 200:
        raise InvalidInput("source must name the set of files, in 1 to 200 characters.")
    if len(specs) > _MOST_RULES:
        raise InvalidInput(f"rules holds {len(specs)}; {_MOST_RULES} are the most. Apply in parts.")
    names = [spec.name for spec in specs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"More than one rule is named {', '.join(twice)}; rename all but one.")


def _cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except (ValueError, binascii.Error) as error:
        raise InvalidInput(
            f"after is {cursor!r}; use a cursor that a page of rules gave."
        ) from error

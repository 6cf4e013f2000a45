"""Rules and schemas in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from dataspoke.errors import Conflict
from dataspoke.quality.model import Check, Result
from dataspoke.quality.rules.model import Rule, SchemaVersion


@dataclass
class RuleTable:
    rules: dict[UUID, Rule] = field(default_factory=dict)
    schemas: dict[str, tuple[SchemaVersion, ...]] = field(default_factory=dict)

    def copy(self) -> "RuleTable":
        return RuleTable(dict(self.rules), dict(self.schemas))

    def forget(self, urns: Sequence[str]) -> None:
        """Remove the schemas of datasets."""
        self.schemas = {k: v for k, v in self.schemas.items() if k not in urns}


class RuleWrites:
    """Over ``_rules`` of a transaction in memory."""

    _rules: RuleTable

    async def save_rule(self, rule: Rule) -> Rule:
        known = self._rules.rules.get(rule.id)
        if rule.version != (0 if known is None else known.version):
            raise Conflict(f"Rule {rule.spec.name} has been changed meanwhile: read it again.")
        if any(
            other.spec.name == rule.spec.name and other.id != rule.id
            for other in self._rules.rules.values()
        ):
            raise Conflict(f"There is a rule {rule.spec.name} already: choose another name.")
        saved = replace(rule, version=rule.version + 1)
        if known is not None:
            saved = replace(saved, created_at=known.created_at, created_by=known.created_by)
        self._rules.rules[rule.id] = saved
        return saved

    async def delete_rule(self, rule_id: UUID, version: int) -> None:
        known = self._rules.rules.get(rule_id)
        if known is None or known.version != version:
            raise Conflict("The rule has been changed or deleted meanwhile: read it again.")
        del self._rules.rules[rule_id]

    async def save_schemas(self, schemas: Sequence[SchemaVersion]) -> None:
        for schema in schemas:
            kept = self._rules.schemas.get(schema.urn, ())
            if not kept or kept[-1].columns != schema.columns:
                self._rules.schemas[schema.urn] = (*kept, schema)


class RuleReads:
    """Over the tables of a store in memory."""

    @property
    def _rules(self) -> RuleTable:
        raise NotImplementedError

    @property
    def _all_results(self) -> Mapping[tuple[str, Check, datetime], Result]:
        raise NotImplementedError

    async def rules(self) -> Sequence[Rule]:
        return sorted(self._rules.rules.values(), key=lambda rule: rule.spec.name)

    async def rule(self, rule_id: UUID) -> Rule | None:
        return self._rules.rules.get(rule_id)

    async def rule_results(self, rule_id: UUID, limit: int) -> Sequence[Result]:
        found = [r for (_, check, _), r in self._all_results.items() if check.rule == rule_id]
        order = lambda result: (result.judgement.point.time, result.urn)  # noqa: E731
        return sorted(found, key=order, reverse=True)[:limit]

    async def schemas_of(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[SchemaVersion]]:
        found = {}
        for urn in urns:
            if kept := self._rules.schemas.get(urn):
                before = [schema for schema in kept if schema.seen_at <= since][-1:]
                found[urn] = before + [schema for schema in kept if schema.seen_at > since]
        return found

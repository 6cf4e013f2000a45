"""What the store keeps of rules, and of the schemas that they compare."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from dataspoke.quality.model import Result
from dataspoke.quality.rules.model import Rule, SchemaVersion


class RuleReads(Protocol):
    """The part of the Store."""

    async def rules(self) -> Sequence[Rule]:
        """Return all rules, by name."""
        ...

    async def rule(self, rule_id: UUID) -> Rule | None: ...

    async def rule_results(self, rule_id: UUID, limit: int) -> Sequence[Result]:
        """Return the newest ``limit`` results of a rule on whatever datasets, newest first."""
        ...

    async def schemas_of(
        self, urns: Sequence[str], since: datetime
    ) -> Mapping[str, Sequence[SchemaVersion]]:
        """Return the schemas in force at ``since`` and after it, oldest first.

        Datasets of which none was kept are absent.
        """
        ...


class RuleWrites(Protocol):
    """The part of the Transaction."""

    async def save_rule(self, rule: Rule) -> Rule:
        """Keep a rule and return it with its next version; version 0 is a new one.

        Who created it and when stay as they are. Raises Conflict where its version is not the
        newest, or another rule has its name.
        """
        ...

    async def delete_rule(self, rule_id: UUID, version: int) -> None:
        """Remove a rule, not its results; raises Conflict where the version is not the newest."""
        ...

    async def save_schemas(self, schemas: Sequence[SchemaVersion]) -> None:
        """Keep schemas that differ from the newest one that is kept of their dataset."""
        ...

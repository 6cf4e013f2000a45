"""Rules: listed, written, tried."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from dataspoke.errors import NotFound
from dataspoke.quality.model import Result
from dataspoke.quality.rules.files import from_document
from dataspoke.quality.rules.model import Change, DryRun, Kind, Rule, RulePage
from dataspoke.resolvers import arguments
from dataspoke.resolvers.context import Context

Document = Mapping[str, Any]


async def of_dataset(context: Context, urn: str) -> Sequence[Rule]:
    """Return the rules that select a dataset, by name; none where the caller may not see it."""
    return await context.loaders.rules.load(urn) or ()


async def listed(
    context: Context, kinds: Sequence[Kind] | None, first: int, after: str | None
) -> RulePage:
    """Return rules that the caller may see, by name."""
    return await context.services.rules.listed(
        await context.actor(), kinds, arguments.page_size(first), after
    )


async def rule(context: Context, rule_id: str) -> Rule | None:
    """Return a rule; None where there is none that the caller may see."""
    try:
        return await context.services.rules.rule(await context.actor(), arguments.rule_id(rule_id))
    except NotFound:
        return None


async def results(context: Context, rule: Rule, first: int) -> Sequence[Result]:
    """Return the rule's newest results that the caller may see, newest first."""
    return await context.services.rules.results(
        await context.actor(), rule.id, arguments.page_size(first)
    )


async def dry_run(context: Context, document: Document, days: int) -> DryRun:
    """Return what the rule would have said in the last ``days``."""
    spec = from_document(document)
    return await context.services.rules.dry_run(
        await context.actor(), spec, timedelta(days=arguments.days(days))
    )


async def create(context: Context, document: Document) -> Rule:
    return await context.services.rules.create(await context.actor(), from_document(document))


async def update(context: Context, rule_id: str, version: int, document: Document) -> Rule:
    return await context.services.rules.update(
        await context.actor(), arguments.rule_id(rule_id), version, from_document(document)
    )


async def delete(context: Context, rule_id: str) -> Rule:
    return await context.services.rules.delete(await context.actor(), arguments.rule_id(rule_id))


async def apply(
    context: Context, documents: Sequence[Document], source: str, *, prune: bool, dry_run: bool
) -> Sequence[Change]:
    specs = [from_document(document) for document in documents]
    return await context.services.rules.apply(
        await context.actor(), specs, source, prune=prune, dry_run=dry_run
    )

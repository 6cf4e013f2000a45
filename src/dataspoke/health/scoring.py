"""How well a dataset is looked after: its metadata health, from rules that anybody can meet.

The score is the weighted mean of what the rules that apply have achieved::

    value = 100 * sum(weight * achieved) / sum(weight)

rounded to one decimal. A rule that does not apply leaves both sums, so that no dataset loses points
for what it cannot have. To do what a finding's action asks never lowers the value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataspoke.catalogue import Dataset
from dataspoke.health.model import Finding, HealthScore

# A monthly load is the slowest that is common; a fortnight on top lets one be late.
FRESH_FOR = timedelta(days=45)

_PLACEHOLDERS = frozenset(
    {
        "",
        "description",
        "lorem ipsum",
        "missing",
        "n a",
        "na",
        "nil",
        "no description",
        "none",
        "null",
        "temp",
        "test",
        "tmp",
        "undefined",
        "unknown",
        "xxx",
    }
)
# A text that begins with one of these is a note to its writer.
_REMINDERS = frozenset({"fixme", "tba", "tbc", "tbd", "todo"})
# Words that say nothing about a dataset or a column when they stand beside its name.
_FILLERS = frozenset(
    {
        "a",
        "all",
        "an",
        "and",
        "column",
        "contains",
        "data",
        "dataset",
        "field",
        "for",
        "from",
        "in",
        "is",
        "of",
        "on",
        "table",
        "the",
        "this",
        "topic",
        "view",
        "with",
    }
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class _Check:
    achieved: float
    action: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that good metadata has.

    ``weight`` is in points of a hundred, over all rules. ``check`` returns None where the rule does
    not apply.
    """

    name: str
    weight: float
    check: Callable[[Dataset, datetime], _Check | None]


def score(dataset: Dataset, now: datetime) -> HealthScore:
    """Return the dataset's health at ``now``, with a finding for each rule that applies."""
    findings = []
    for rule in RULES:
        check = rule.check(dataset, now)
        if check is not None:
            action = check.action if check.achieved < 1 else None
            findings.append(Finding(rule.name, rule.weight, check.achieved, action))
    # Never empty: description, owner and domain apply to every dataset.
    possible = sum(finding.weight for finding in findings)
    achieved = sum(finding.weight * finding.achieved for finding in findings)
    return HealthScore(dataset.urn, round(100 * achieved / possible, 1), tuple(findings), now)


def describes(text: str | None, name: str) -> bool:
    """Tell whether ``text`` says anything about what is called ``name``.

    False for an empty text, a placeholder such as "TODO" or "n/a", and for a text that has no word
    beyond those of the name itself, as "The orders table" for ``shop.orders``.
    """
    words = _words(text or "")
    if " ".join(words) in _PLACEHOLDERS or words[0] in _REMINDERS:
        return False
    return not set(words) <= _FILLERS | set(_words(name))


def _words(text: str) -> list[str]:
    # An underscore separates words in names, and is none by itself.
    return re.findall(r"[^\W_]+", _CAMEL.sub(" ", text).casefold())


def _description(dataset: Dataset, now: datetime) -> _Check:
    return _Check(
        # The urn adds what the name may leave out: schema, platform and environment.
        float(describes(dataset.description, f"{dataset.name} {dataset.urn}")),
        "Describe the dataset: what one row stands for and where it comes from.",
    )


def _owner(dataset: Dataset, now: datetime) -> _Check:
    return _Check(float(bool(dataset.owners)), "Name an owner: a person or a group to ask.")


def _domain(dataset: Dataset, now: datetime) -> _Check:
    return _Check(float(dataset.domain is not None), "Put the dataset into a domain.")


def _fields(dataset: Dataset, now: datetime) -> _Check | None:
    if not dataset.fields:
        return None
    missing = [f.path for f in dataset.fields if not describes(f.description, f.path)]
    share = (len(dataset.fields) - len(missing)) / len(dataset.fields)
    if not missing:
        return _Check(1.0, "")
    return _Check(
        share,
        f"Describe {missing[0]}."
        if len(missing) == 1
        else f"Describe {len(missing)} more columns, {missing[0]} first.",
    )


def _labels(dataset: Dataset, now: datetime) -> _Check:
    found = dataset.tags or dataset.terms or any(f.tags or f.terms for f in dataset.fields)
    return _Check(float(bool(found)), "Add a tag or a glossary term, to the dataset or a column.")


def _freshness(dataset: Dataset, now: datetime) -> _Check | None:
    # Nobody expects a deprecated dataset to change, and a hub that does not say is no evidence.
    if dataset.deprecated or dataset.last_updated is None:
        return None
    return _Check(
        float(now - dataset.last_updated <= FRESH_FOR),
        f"Nothing has changed since {dataset.last_updated:%Y-%m-%d}: "
        "mend its load, or mark the dataset as deprecated.",
    )


RULES = (
    Rule("description", 25, _description),
    Rule("owner", 20, _owner),
    Rule("described_fields", 20, _fields),
    Rule("domain", 15, _domain),
    Rule("labels", 10, _labels),
    Rule("freshness", 10, _freshness),
)
"""What is asked of a dataset. Freshness is that of ``Dataset.last_updated``, whether the hub means
the content or the metadata by it, and asks for a change within ``FRESH_FOR``; labels are tags or
glossary terms, on the dataset or on a column; described_fields is the share of columns with a
description that says something."""

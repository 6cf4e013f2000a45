"""What is wrong with what SQL does, given how its inputs and outputs stand."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dataspoke.catalogue import Dataset
from dataspoke.knowledge.lexical import split_words
from dataspoke.knowledge.model import Snapshot
from dataspoke.knowledge.personal import personal_marks
from dataspoke.knowledge.verifier.families import Family, family_of_native
from dataspoke.knowledge.verifier.model import Code, Fix, Issue, IssueSeverity, Place, Purpose
from dataspoke.knowledge.verifier.policy import severity
from dataspoke.knowledge.verifier.relations import (
    Analysis,
    Finding,
    JoinUse,
    Origin,
    Output,
    OutputColumn,
    Value,
)
from dataspoke.knowledge.verifier.resolution import TableName, simple_path
from dataspoke.knowledge.verifier.statements import Doubt, Script
from dataspoke.urns import dataset_name

# A convention needs this many datasets beside the new one, and this share of them.
_MATES = 5
_MOST = 0.8
_STYLES: Mapping[str, re.Pattern[str]] = {
    "lower_snake_case": re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*"),
    "UPPER_SNAKE_CASE": re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*"),
    "camelCase": re.compile(r"[a-z]+[a-zA-Z0-9]*"),
    "PascalCase": re.compile(r"([A-Z][a-z0-9]+)+"),
    "kebab-case": re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+"),
}
_SHOWN = 5
_CODES_OF_DOUBT = {
    Doubt.NONE: Code.SYNTAX,
    Doubt.READER: Code.UNREADABLE,
    Doubt.TEMPLATE: Code.NOT_CHECKED,
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is amiss with a dataset just now, as its own verdicts say."""

    code: Code
    message: str
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What is known of the datasets in question, of what the caller may see.

    ``downstream`` maps outputs that exist to what is made from them, near and far; ``neighbours``
    maps the schema of an output to the names of all datasets in it.
    """

    snapshots: Mapping[str, Snapshot]
    troubles: Mapping[str, Sequence[Trouble]] = field(default_factory=dict)
    downstream: Mapping[str, frozenset[str]] = field(default_factory=dict)
    neighbours: Mapping[str, Sequence[str]] = field(default_factory=dict)
    visible: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """What an installation wants: the words that mark personal data, and how outputs are named.

    ``output_name`` is a pattern for the last component of a new dataset's name, None for what its
    neighbours have in common.
    """

    personal_words: frozenset[str]
    output_name: re.Pattern[str] | None = None


def issues_of_text(script: Script, purpose: Purpose) -> Iterator[Issue]:
    """Yield what is wrong with the text as such."""
    name = script.dialect or "SQL"
    for unread in script.unread:
        code = _CODES_OF_DOUBT[unread.doubt]
        message = (
            f"This is no {name}: {unread.message}."
            if unread.doubt is Doubt.NONE
            else f"This cannot be read as {name} and is not checked: {unread.message}."
        )
        yield Issue(code, severity(code, purpose), message, place=unread.place)
    if script.dialect != script.wanted:
        yield Issue(
            Code.OTHER_DIALECT,
            severity(Code.OTHER_DIALECT, purpose),
            f"This cannot be read as {script.wanted or 'common SQL'}; it is checked as "
            f"{script.dialect}.",
            fix=Fix(f"Give the dialect that it is in, or write it in {script.wanted}."),
        )
    if script.templates:
        yield Issue(
            Code.TEMPLATE,
            severity(Code.TEMPLATE, purpose),
            f"What {len(script.templates)} templates put in is not known here and not checked.",
            place=script.templates[0],
        )


def judge(
    analysis: Analysis,
    urns: Sequence[str],
    surveyed: Surveyed,
    purpose: Purpose,
    rules: Rules,
) -> list[Issue]:
    """Return all issues of a script's doings, and of datasets that are read besides, by urn."""
    inputs: dict[str, Place | None] = dict(analysis.inputs)
    for urn in urns:
        if urn in surveyed.snapshots:
            inputs.setdefault(urn, None)
    judging = _Judging(surveyed, purpose, rules)
    found = [judging.issue_of(finding) for finding in analysis.findings]
    found += [
        judging.issue(
            Code.UNKNOWN_TABLE, f"There is no dataset {urn}.", fix=Fix("Look it up by a search.")
        )
        for urn in dict.fromkeys(urns)
        if urn not in surveyed.snapshots
    ]
    for urn, place in inputs.items():
        found += judging.input(urn, place)
    found += judging.personal_data(analysis, urns)
    found += judging.joins(analysis.joins)
    kept = {output.urn for output in analysis.outputs if output.urn and not output.gone}
    for output in analysis.outputs:
        if not output.temporary and not (output.gone and output.urn in kept):
            found += judging.output(output)
    return found


class _Judging:
    def __init__(self, surveyed: Surveyed, purpose: Purpose, rules: Rules) -> None:
        self._surveyed = surveyed
        self._snapshots = surveyed.snapshots
        self._purpose = purpose
        self._rules = rules

    def issue(
        self,
        code: Code,
        message: str,
        *,
        evidence: str | None = None,
        place: Place | None = None,
        fix: Fix | None = None,
        urn: str | None = None,
        column: str | None = None,
    ) -> Issue:
        level: IssueSeverity = severity(code, self._purpose)
        return Issue(code, level, message, evidence, place, fix, urn, column)

    def issue_of(self, found: Finding) -> Issue:
        return self.issue(
            found.code,
            found.message,
            evidence=found.evidence,
            place=found.place,
            fix=found.fix,
            urn=found.urn,
            column=found.column,
        )

    def input(self, urn: str, place: Place | None) -> Iterator[Issue]:
        dataset = self._snapshots[urn].dataset
        name = dataset_name(urn)
        if dataset.removed:
            yield self.issue(
                Code.REMOVED_INPUT, f"{name} is deleted.", place=place, urn=urn,
                evidence="The hub keeps it as soft-deleted.",
            )  # fmt: skip
        if dataset.deprecated:
            note = dataset.deprecation_note
            yield self.issue(
                Code.DEPRECATED_INPUT,
                f"{name} is deprecated.",
                evidence=note and f"The catalogue says: {note}",
                place=place,
                fix=self._replacement(dataset, place),
                urn=urn,
            )
        for trouble in self._surveyed.troubles.get(urn, ()):
            yield self.issue(
                trouble.code,
                f"{name}: {trouble.message}",
                evidence=trouble.since,
                place=place,
                urn=urn,
            )

    def _replacement(self, dataset: Dataset, place: Place | None) -> Fix | None:
        if dataset.replacement is None or dataset.replacement not in self._surveyed.visible:
            return None
        name = dataset_name(dataset.replacement)
        return Fix(f"Read {name} instead.", place, name if place else None)

    def personal_data(self, analysis: Analysis, urns: Sequence[str]) -> Iterator[Issue]:
        reached: dict[Origin, list[str]] = {}
        for output in analysis.outputs:
            if output.temporary:
                continue
            for column in output.filled:
                for origin in column.value.origins:
                    reached.setdefault(origin, []).append(f"{output.name.text}.{column.name}")
        for column in analysis.results:
            for origin in column.value.origins:
                reached.setdefault(origin, []).append(column.name)
        marks: dict[str, Mapping[str, str]] = {}
        for origin, targets in sorted(reached.items()):
            if origin.urn not in marks:
                marks[origin.urn] = self._marks(self._snapshots[origin.urn].dataset)
            mark = marks[origin.urn].get(origin.path)
            if mark is None:
                continue
            path = simple_path(origin.path)
            yield self.issue(
                Code.PERSONAL_DATA,
                f"{dataset_name(origin.urn)}.{path} is marked {mark} and reaches "
                f"{', '.join(dict.fromkeys(filter(None, targets))) or 'the result'}.",
                evidence=f"{path} has the mark {mark} in the catalogue.",
                place=analysis.used.get(origin),
                fix=Fix("Leave the column out, or use only counts of it."),
                urn=origin.urn,
                column=origin.path,
            )
        for urn in dict.fromkeys(urns):
            if urn not in self._snapshots:
                continue
            found = self._marks(self._snapshots[urn].dataset)
            if found:
                names = [simple_path(path) for path in found]
                yield self.issue(
                    Code.PERSONAL_DATA,
                    f"{dataset_name(urn)} holds personal data in {_shown(names)}.",
                    evidence=f"Marked {_shown(list(dict.fromkeys(found.values())))}.",
                    fix=Fix("Read other columns only."),
                    urn=urn,
                )

    def _marks(self, dataset: Dataset) -> Mapping[str, str]:
        return personal_marks(dataset, self._rules.personal_words)

    def joins(self, uses: Sequence[JoinUse]) -> Iterator[Issue]:
        pairs: dict[tuple[str, str], list[JoinUse]] = {}
        for use in uses:
            if use.left.urn == use.right.urn:
                continue
            ordered = use if use.left.urn < use.right.urn else use.turned()
            pairs.setdefault((ordered.left.urn, ordered.right.urn), []).append(ordered)
        for (one, other), found in pairs.items():
            known = self._keys(one, other)
            if not known:
                continue
            used = {(_key(use.left.path), _key(use.right.path)) for use in found}
            if used & known.keys():
                continue
            (left, right), count = max(known.items(), key=lambda entry: entry[1])
            mine, theirs = dataset_name(one), dataset_name(other)
            often = f"in {count} queries" if count else "as a foreign key"
            first = found[0]
            yield self.issue(
                Code.UNSEEN_JOIN_KEY,
                f"{mine} and {theirs} were never joined by "
                f"{simple_path(first.left.path)} = {simple_path(first.right.path)}.",
                evidence=f"They are joined by {left} = {right}, {often}.",
                place=first.place,
                fix=Fix(f"Join {mine}.{left} with {theirs}.{right}, or make sure of the key."),
                urn=one,
                column=first.left.path,
            )

    def _keys(self, one: str, other: str) -> dict[tuple[str, str], int]:
        """Return the pairs of columns that two datasets are joined by, and how often."""
        found: dict[tuple[str, str], int] = {}
        for mine, theirs, swapped in ((one, other, False), (other, one, True)):
            snapshot = self._snapshots.get(mine)
            if snapshot is None:
                continue
            keys = [(j.columns, j.other, j.other_columns, j.count) for j in snapshot.joins]
            keys += [
                (key.columns, key.dataset, key.foreign_columns, 0)
                for key in snapshot.dataset.foreign_keys
            ]
            for columns, target, targets, count in keys:
                if target != theirs:
                    continue
                for a, b in zip(columns, targets, strict=False):
                    pair = (_key(b), _key(a)) if swapped else (_key(a), _key(b))
                    found[pair] = max(count, found.get(pair, 0))
        return found

    def output(self, output: Output) -> Iterator[Issue]:
        name = output.name.text
        if output.urn is None:
            if output.kind in ("INSERT", "UPDATE", "DELETE", "MERGE", "DROP", "ALTER"):
                return
            yield self.issue(
                Code.NEW_OUTPUT,
                f"{name} is new.",
                place=output.place,
                fix=Fix("Give it an owner and a description once it is there."),
            )
            yield from self._name(output)
            return
        dataset = self._snapshots[output.urn].dataset
        known = dataset_name(output.urn)
        if not dataset.owners:
            yield self.issue(
                Code.OUTPUT_WITHOUT_OWNER,
                f"{known} has no owner.",
                place=output.place,
                fix=Fix("Set an owner in DataHub."),
                urn=output.urn,
            )
        if not dataset.description:
            yield self.issue(
                Code.OUTPUT_WITHOUT_DESCRIPTION,
                f"{known} has no description.",
                place=output.place,
                fix=Fix("Describe it in DataHub."),
                urn=output.urn,
            )
        if output.urn in output.reads and output.kind not in ("UPDATE", "DELETE"):
            yield self.issue(
                Code.READS_ITS_OUTPUT,
                f"{known} is read and written by one statement.",
                place=output.place,
                fix=Fix("Make sure that a second run gives the same."),
                urn=output.urn,
            )
        above = self._surveyed.downstream.get(output.urn, frozenset())
        for urn in sorted(output.reads & above - {output.urn}):
            yield self.issue(
                Code.CYCLE,
                f"{known} would be made from {dataset_name(urn)}, which is made from it.",
                evidence="By the lineage in the catalogue.",
                place=output.place,
                fix=Fix(f"Read what {dataset_name(urn)} is made from."),
                urn=urn,
            )
        yield from self._changes(output, dataset)

    def _changes(self, output: Output, dataset: Dataset) -> Iterator[Issue]:
        urn = dataset.urn
        consumers = [
            dataset_name(other)
            for other in self._snapshots[urn].lineage.downstream
            if other in self._surveyed.visible
        ]
        code = Code.BREAKING_CHANGE if consumers else Code.SCHEMA_CHANGE
        evidence = (
            f"{_shown(consumers)} {'is' if len(consumers) == 1 else 'are'} made from it."
            if consumers
            else "The catalogue knows of nothing that is made from it."
        )
        name = dataset_name(urn)
        if output.gone:
            yield self.issue(
                code, f"{name} would be gone.", evidence=evidence, place=output.place, urn=urn
            )
            return
        if output.columns is None:
            return
        new = {column.name.casefold(): column for column in output.columns}
        for column in dataset.fields:
            path = simple_path(column.path)
            if "." in path and path.casefold() not in new:
                path = path.partition(".")[0]
                if path.casefold() in new:
                    continue
            now = new.get(path.casefold())
            if now is None:
                yield self.issue(
                    code,
                    f"{name} would lose its column {path}.",
                    evidence=evidence,
                    place=output.place,
                    fix=Fix(f"Keep {path}, or have its consumers changed first."),
                    urn=urn,
                    column=column.path,
                )
                continue
            old = family_of_native(column.native_type, None) if column.native_type else None
            if old and now.value.family and old is not now.value.family and _told_apart(old, now):
                yield self.issue(
                    code,
                    f"{name}.{path} would become {now.value.family}.",
                    evidence=f"It is {column.native_type}. {evidence}",
                    place=output.place,
                    fix=Fix(f"Cast it to {column.native_type}."),
                    urn=urn,
                    column=column.path,
                )

    def _name(self, output: Output) -> Iterator[Issue]:
        name = output.created
        pattern = self._rules.output_name
        if pattern is not None:
            if not pattern.fullmatch(name):
                yield self.issue(
                    Code.OUTPUT_NAME,
                    f"{name} is not named as outputs are to be.",
                    evidence=f"Names are to match {pattern.pattern}.",
                    place=output.place,
                )
            return
        mates = self._surveyed.neighbours.get(output.name.text, ())
        style = convention(mates)
        if style is None or _STYLES[style].fullmatch(name):
            return
        better = styled(name, style)
        yield self.issue(
            Code.OUTPUT_NAME,
            f"{name} is not named as its neighbours are.",
            evidence=f"Of {len(mates)} datasets beside it most are in {style}, as {mates[0]}.",
            place=output.place,
            fix=Fix(f"Name it {better}.", output.place, better)
            if len(output.name.parts) == 1
            else Fix(f"Name it {better}."),
        )


def convention(names: Sequence[str]) -> str | None:
    """Return the style that most of at least five names have; None where there is none.

    One word in small letters fits several styles; the first of them counts.
    """
    if len(names) < _MATES:
        return None
    for style, pattern in _STYLES.items():
        if sum(pattern.fullmatch(name) is not None for name in names) >= _MOST * len(names):
            return style
    return None


def styled(name: str, style: str) -> str:
    """Return a name in another style."""
    words = split_words(name).split() or [name]
    match style:
        case "UPPER_SNAKE_CASE":
            return "_".join(words).upper()
        case "camelCase":
            return words[0] + "".join(word.capitalize() for word in words[1:])
        case "PascalCase":
            return "".join(word.capitalize() for word in words)
        case "kebab-case":
            return "-".join(words)
        case _:
            return "_".join(words)


def output_of(
    name: TableName, urn: str | None, columns: Sequence[OutputColumn], reads: frozenset[str]
) -> Output:
    """Return a proposed output as a script would write it."""
    return Output(name, name.last, urn, None, "PROPOSED", columns=tuple(columns), reads=reads)


def proposed_column(name: str, kind: str | None, dialect: str | None) -> OutputColumn:
    """Return a column of a proposed output."""
    family = family_of_native(kind, dialect) if kind else None
    return OutputColumn(name, Value(family=family), kind)


def _told_apart(old: Family, now: OutputColumn) -> bool:
    # What a query yields is guessed where it is no column and no cast.
    return now.type is not None or now.value.column is not None


def _key(path: str) -> str:
    return simple_path(path).casefold()


def _shown(names: Sequence[str]) -> str:
    most = ", ".join(names[:_SHOWN])
    return most if len(names) <= _SHOWN else f"{most} and {len(names) - _SHOWN} more"

"""What the tools answer: values for programs, and lines of text for a model. Pure.

Everything that people or other systems wrote is clipped, so that every item has a largest size.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pydantic import BaseModel, Field

from dataspoke.errors import DependencyRejected

# Text and structured content are each below it, by the count of ``tokens``.
MAX_TOKENS = 4000
# English has about four bytes a token, urns and SQL about three.
_BYTES_PER_TOKEN = 3


def tokens(text: str) -> int:
    """Return how many tokens a model has to read for ``text`` at most, three bytes for each."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


def clip(text: str, limit: int) -> str:
    """Return ``text`` on one line of at most ``limit`` bytes, an ellipsis for what is more.

    Control characters and runs of space are single spaces.
    """
    # What lies far behind is not looked at: a description may be a book.
    shown = "".join(each if each.isprintable() else " " for each in text[: 4 * limit])
    line = " ".join(shown.split())
    encoded = line.encode()
    if len(encoded) <= limit:
        return line
    return encoded[: limit - len("…".encode())].decode(errors="ignore").rstrip() + "…"


def number(value: float) -> str:
    """Return a number for people: ``4,879``, ``0.0312``, ``12,513.6``."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


class Answer(BaseModel, ABC):
    """What every tool answers beside its own."""

    notes: list[str] = Field(
        default=[], description="What this answer lacks, and why; empty where it lacks nothing."
    )
    next_cursor: str | None = Field(
        default=None, description="Pass it as cursor to read on; null where nothing follows."
    )

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """Yield the answer as lines of text."""

    def text(self) -> str:
        """Return the answer as text for a model."""
        lines = [*self.lines(), *(f"Note: {note}" for note in self.notes)]
        if self.next_cursor is not None:
            lines.append(f'More follows: call again with cursor "{self.next_cursor}".')
        return "\n".join(lines)

    def fits(self) -> bool:
        """Tell whether a model is asked to read no more than MAX_TOKENS, in either form."""
        return max(tokens(self.text()), tokens(self.model_dump_json())) <= MAX_TOKENS


_AnswerT = TypeVar("_AnswerT", bound=Answer)


def fitted(build: Callable[[int], _AnswerT], count: int) -> _AnswerT:
    """Return ``build(n)`` of the largest ``n`` up to ``count`` that fits.

    ``build`` makes the answer with the first ``n`` items, and the cursor to what it leaves out.
    Raises DependencyRejected where not even one item fits.
    """
    whole = build(count)
    if whole.fits():
        return whole

    def cut(shown: int) -> _AnswerT:
        answer = build(shown)
        answer.notes.append(f"{shown} of the {count} items asked for fit into this answer.")
        return answer

    fits, too_many = 0, count
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if cut(middle).fits():
            fits = middle
        else:
            too_many = middle
    if not fits:
        raise DependencyRejected(
            "gateway", "The answer is larger than a model can be given; look at it in DataHub."
        )
    return cut(fits)


class Dataset(BaseModel):
    """A dataset, and in short how it is."""

    urn: str
    name: str
    platform: str | None = Field(default=None, description="As snowflake or postgres.")
    description: str | None = None
    deprecated: str | None = Field(
        default=None, description="What its owners say of its deprecation; null where it is not."
    )
    quality: str | None = Field(
        default=None,
        description="Verdict on the data: PASS, WARN, FAIL, ERROR or WARMING_UP (too little "
        "history); null where it was never scanned or you may not see it.",
    )
    open_alerts: list[str] = Field(
        default=[], description="What is wrong with the data now, at most three."
    )
    health: float | None = Field(
        default=None, description="Verdict on the documentation, 0 to 100; null where unknown."
    )

    def line(self) -> str:
        """Return what is known of it but its description, on one line."""
        parts = [self.name, self.platform or "", f"data {self.quality or 'not judged'}"]
        if self.health is not None:
            parts.append(f"documentation {self.health:.0f}/100")
        if self.deprecated is not None:
            parts.append(f"DEPRECATED: {self.deprecated}")
        return " · ".join(filter(None, parts))


class Hit(Dataset):
    """A dataset that answers a question."""

    score: float = Field(description="How well it fits, 0 to 1 within one answer.")
    why: list[str] = Field(description="Why it was found, in a few words each.")
    trust: float | None = Field(description="How far it can be relied on, 0 to 1.")
    doubts: list[str] = Field(description="What speaks against relying on it.")


class SearchAnswer(Answer):
    """Datasets that answer a question, best first."""

    hits: list[Hit]
    mode: str = Field(
        description="HYBRID; LEXICAL or NAMES where search could only go by words, or by names."
    )
    read_filters: list[str] = Field(
        description="Filters that were read out of the question, each with the words it stood in."
    )

    def lines(self) -> Iterator[str]:
        if self.read_filters:
            yield f"Read out of the question: {'; '.join(self.read_filters)}"
        if not self.hits:
            yield "No dataset that you may see answers this. Try other words, or fewer filters."
        for hit in self.hits:
            yield f"- {hit.line()}"
            yield f"  {hit.urn}"
            if hit.description:
                yield f"  {hit.description}"
            yield from (f"  open alert: {alert}" for alert in hit.open_alerts)
            if hit.doubts:
                yield f"  doubts: {'; '.join(hit.doubts)}"
            if hit.why:
                yield f"  why: {', '.join(hit.why)}"


class Alert(BaseModel):
    """A check that fails, or did."""

    id: str
    check: str = Field(description="A metric, with the column that it is of, or a rule.")
    severity: str
    state: str
    message: str
    opened_at: str
    cause_id: str | None = Field(
        default=None, description="Id of the alert, here or upstream, that explains it."
    )
    urn: str | None = Field(default=None, description="The dataset; null in an answer about one.")

    def line(self) -> str:
        """Return it on one line."""
        cause = f", caused by alert {self.cause_id}" if self.cause_id else ""
        about = f"{self.urn}: " if self.urn else ""
        return (
            f"{about}{self.severity} {self.state} since {self.opened_at}: {self.message} "
            f"(alert {self.id}{cause})"
        )


class AlertsAnswer(Answer):
    """Alerts, newest first."""

    alerts: list[Alert]

    def lines(self) -> Iterator[str]:
        if not self.alerts:
            yield "There is no such alert on the datasets whose profiles you may view."
        for alert in self.alerts:
            yield f"- {alert.line()}"


class Check(BaseModel):
    """The newest result of one check of the data."""

    check: str = Field(description="A metric, with the column that it is of, or a rule.")
    status: str
    value: float
    expected: float | None
    low: float | None
    high: float | None
    observed_at: str
    detail: str | None

    def line(self) -> str:
        """Return it on one line."""
        if self.detail:
            return f"{self.status} {self.check}: {self.detail}"
        limits = ""
        if self.low is not None and self.high is not None:
            limits = f", expected {number(self.low)} to {number(self.high)}"
        elif self.expected is not None:
            limits = f", expected {number(self.expected)}"
        return f"{self.status} {self.check}: {number(self.value)}{limits}"


class ToDo(BaseModel):
    """What would raise the score of the documentation."""

    rule: str
    achieved: float = Field(description="How far the rule is met, 0 to 1.")
    action: str


class Deadline(BaseModel):
    """How it stands with the next time at which it has to be loaded."""

    at: str | None = Field(description="The deadline; null where none comes any more.")
    status: str | None = Field(description="As ON_TRACK, AT_RISK, MET or MISSED.")
    chance_to_miss: float | None = Field(description="0 to 1; null where unknown.")
    expected_at: str | None = Field(description="When the load is to be expected.")


class DatasetAnswer(Answer):
    """A dataset: what DataHub knows of it, and what DataSpoke says of its data and metadata."""

    dataset: Dataset
    owners: list[str]
    domain: str | None
    tags: list[str]
    terms: list[str]
    updated_at: str | None = Field(description="When its data last changed.")
    quality_score: float | None = Field(description="0 to 100; null where nothing was judged.")
    dimensions: dict[str, str] = Field(description="The verdict by dimension.")
    scanned_at: str | None
    deadline: Deadline | None
    alerts: list[Alert] = Field(description="All that are open, newest first.")
    checks: list[Check] = Field(description="Newest results, those that do not pass first.")
    to_do: list[ToDo] = Field(description="What the documentation lacks.")

    def lines(self) -> Iterator[str]:
        yield self.dataset.line()
        yield self.dataset.urn
        if self.dataset.description:
            yield self.dataset.description
        facts = [
            ("owners", ", ".join(self.owners) or "none"),
            ("domain", self.domain),
            ("tags", ", ".join(self.tags)),
            ("terms", ", ".join(self.terms)),
            ("data changed", self.updated_at),
        ]
        yield "; ".join(f"{name}: {value}" for name, value in facts if value)
        if self.scanned_at is not None:
            score = "" if self.quality_score is None else f" {self.quality_score:.0f}/100"
            verdicts = ", ".join(f"{name} {status}" for name, status in self.dimensions.items())
            yield f"Data{score}: {verdicts or 'nothing judged yet'} (scanned {self.scanned_at})"
        if self.deadline is not None:
            yield _deadline(self.deadline)
        yield from _section("Open alerts", (alert.line() for alert in self.alerts))
        passed = [check.check for check in self.checks if check.status == "PASS"]
        failed = [check.line() for check in self.checks if check.status != "PASS"]
        yield from _section("Checks that do not pass", failed)
        if passed:
            yield f"Checks that pass: {', '.join(passed)}"
        yield from _section("Documentation to do", (item.action for item in self.to_do))


def _deadline(deadline: Deadline) -> str:
    parts = [f"Deadline {deadline.at or 'none'}", deadline.status or "not looked at yet"]
    if deadline.chance_to_miss is not None:
        parts.append(f"chance to miss {deadline.chance_to_miss:.0%}")
    if deadline.expected_at is not None:
        parts.append(f"load expected {deadline.expected_at}")
    return ", ".join(parts)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    shown = [f"- {line}" for line in lines]
    if shown:
        yield f"{title}:"
        yield from shown


class Relative(Dataset):
    """Something up or down the lineage. What is no dataset has no verdicts."""

    hops: int = Field(description="How many steps away.")
    type: str = Field(description="As DATASET, DASHBOARD, CHART or DATA_JOB.")


class LineageAnswer(Answer):
    """What a dataset is made from, or what is made from it, nearest first."""

    urn: str
    direction: str
    total: int = Field(description="How many there are within the hops asked for.")
    relatives: list[Relative]

    def lines(self) -> Iterator[str]:
        word = self.direction.lower()
        if not self.relatives:
            yield f"Nothing {word} of {self.urn} that you may see."
            return
        yield f"{self.total} {word} of {self.urn}, nearest first:"
        for relative in self.relatives:
            what = "" if relative.type == "DATASET" else f"{relative.type} "
            shown = relative.line() if relative.type == "DATASET" else relative.name
            yield f"- {relative.hops} · {what}{shown}"
            yield f"  {relative.urn}"
            yield from (f"  open alert: {alert}" for alert in relative.open_alerts)


class Issue(BaseModel):
    """Something that is wrong with what was checked, or good to know."""

    severity: str = Field(description="BLOCK must be mended, WARN is for the user to decide, INFO.")
    code: str
    message: str
    evidence: str | None = Field(description="What the catalogue says about it.")
    line: int | None = Field(description="Line in the SQL, from 1; null where it is at no place.")
    column: int | None = Field(description="Column in that line, from 1.")
    fix: str | None = Field(description="What mends it; null where nobody knows.")
    replacement: str | None = Field(description="The text to put at its place.")
    urn: str | None = Field(description="The dataset that it is about.")
    about_column: str | None = Field(description="The column that it is about.")

    def one_line(self) -> str:
        """Return it on one line."""
        place = "" if self.line is None else f" at line {self.line}, column {self.column}"
        parts = [f"{self.severity} {self.code}{place}: {self.message}"]
        if self.evidence:
            parts.append(f"Evidence: {self.evidence}")
        if self.fix:
            parts.append(f"Fix: {self.fix}")
        if self.replacement:
            parts.append(f"Put: {self.replacement}")
        return " ".join(parts)


class Alternative(Dataset):
    """A healthy dataset that may be read in place of a bad one."""

    instead_of: str = Field(description="Urn of the bad input, or the name that is no dataset.")
    why: str
    missing: list[str] = Field(description="Columns used that it does not have.")


class VerdictAnswer(Answer):
    """Whether to go on, what speaks against it, and what to use instead."""

    verdict: str = Field(description="OK, WARN or BLOCK: the worst of all issues.")
    dialect: str | None = Field(description="The dialect that the SQL was read in.")
    issues: list[Issue] = Field(description="The worst first.")
    alternatives: list[Alternative]
    inputs: list[Dataset] = Field(description="What is read.")
    outputs: list[str] = Field(description="Urns of what is written and exists.")

    def lines(self) -> Iterator[str]:
        yield f"{self.verdict}: {_ADVICE.get(self.verdict, 'see the issues.')}"
        yield from (f"- {issue.one_line()}" for issue in self.issues)
        for each in self.alternatives:
            lacks = f" It lacks {', '.join(each.missing)}." if each.missing else ""
            yield f"- Instead of {each.instead_of}: {each.line()}"
            yield f"  {each.urn}"
            yield f"  {each.why}{lacks}"
        yield from _section("Reads", (f"{each.line()} {each.urn}" for each in self.inputs))
        yield from _section("Writes", self.outputs)


_ADVICE = {
    "OK": "nothing speaks against it.",
    "WARN": "tell the user of these issues before you go on.",
    "BLOCK": "do not go on; mend these issues and check again.",
}


class Table(BaseModel):
    """A table that a statement may use."""

    urn: str
    name: str = Field(description="As SQL writes it.")
    quality: str | None = Field(description="Verdict on its data; null where never judged.")
    health: float | None = Field(description="Verdict on its documentation, 0 to 100.")


class SqlContextAnswer(Answer):
    """What is needed to answer a question in SQL."""

    context: str = Field(
        description="Tables as DDL with remarks and warnings, joins, and conditions of queries."
    )
    dialect: str | None = Field(description="What sqlglot calls the SQL to write.")
    tables: list[Table] = Field(description="The tables in it, the most relevant first.")
    left_out: list[str] = Field(description="Urns of tables that there was no room for.")

    def lines(self) -> Iterator[str]:
        if not self.tables:
            yield "No table that you may see answers this. Try other words, or search_datasets."
            return
        yield self.context
        judged: dict[str, list[str]] = {}
        for table in self.tables:
            judged.setdefault(table.quality or "never judged", []).append(table.name)
        yield from (f"Data {status}: {', '.join(names)}" for status, names in judged.items())
        yield f"The urn of {self.tables[0].name} is {self.tables[0].urn}; the others are alike."

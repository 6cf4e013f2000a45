"""A whole check, in two steps: what is asked of the catalogue, and what is to be said. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dataspoke.knowledge.dialects import dialect_of
from dataspoke.knowledge.model import Snapshot
from dataspoke.knowledge.verifier import judging
from dataspoke.knowledge.verifier.analysis import analyse, table_names
from dataspoke.knowledge.verifier.judging import Rules, Surveyed
from dataspoke.knowledge.verifier.model import (
    Alternative,
    ContextVerdict,
    VerifyRequest,
)
from dataspoke.knowledge.verifier.policy import verdict_on, worst_first
from dataspoke.knowledge.verifier.relations import Analysis, Output
from dataspoke.knowledge.verifier.resolution import Surroundings, TableName, narrow
from dataspoke.knowledge.verifier.statements import (
    Script,
    read,
    require_dialect,
)
from dataspoke.urns import table_key


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request holds, read once: its statements, and the names that the catalogue is asked
    for, casefolded last components."""

    request: VerifyRequest
    script: Script
    around: Surroundings
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a request does with the datasets that the catalogue has."""

    analysis: Analysis
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_request(request: VerifyRequest) -> Reading:
    """Return what a request holds; raises InvalidInput for a dialect that there is not."""
    if request.dialect:
        dialect = require_dialect(request.dialect)
    else:
        dialect = dialect_of(request.platform or "") or ""
    script = read(request.sql or "", dialect)
    names = [name.last for name in table_names(script)]
    if request.output is not None:
        names.append(request.output.name.rpartition(".")[2])
    return Reading(
        request,
        script,
        Surroundings(request.platform, request.default_database, request.default_schema),
        tuple(dict.fromkeys(name.casefold() for name in names if name)),
    )


def find(
    reading: Reading, candidates: Mapping[str, Sequence[str]], snapshots: Mapping[str, Snapshot]
) -> Findings:
    """Return what a request does.

    ``candidates`` maps the names asked for to the urns that have them; ``snapshots`` holds those of
    them that the caller may see, and those of the request's urns.
    """
    request = reading.request
    analysis = analyse(reading.script, candidates, snapshots, reading.around)
    if request.output is not None:
        analysis.outputs.append(_proposed(reading, candidates, snapshots))
    inputs = dict.fromkeys((*analysis.inputs, *(u for u in request.urns if u in snapshots)))
    outputs = dict.fromkeys(output.urn for output in analysis.outputs if output.urn is not None)
    return Findings(analysis, tuple(inputs), tuple(outputs))


def conclude(
    reading: Reading,
    findings: Findings,
    surveyed: Surveyed,
    rules: Rules,
    alternatives: Iterable[Alternative] = (),
) -> ContextVerdict:
    """Return the verdict on what a request does."""
    request = reading.request
    issues = worst_first(
        (
            *judging.issues_of_text(reading.script, request.purpose),
            *judging.judge(findings.analysis, request.urns, surveyed, request.purpose, rules),
        )
    )
    return ContextVerdict(
        verdict=verdict_on(issues),
        issues=issues,
        alternatives=tuple(alternatives),
        inputs=findings.inputs,
        outputs=findings.outputs,
        dialect=(reading.script.dialect or None) if request.sql is not None else None,
    )


def by_name(urns: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Return datasets by their last component, casefolded, as the catalogue is asked for them."""
    found: dict[str, list[str]] = {}
    for urn in sorted(urns):
        found.setdefault(table_key(urn), []).append(urn)
    return found


def _proposed(
    reading: Reading, candidates: Mapping[str, Sequence[str]], snapshots: Mapping[str, Snapshot]
) -> Output:
    proposed = reading.request.output
    assert proposed is not None  # noqa: S101  the caller has looked
    name = TableName(tuple(proposed.name.split(".")))
    urns = [
        urn
        for urn in narrow(name, candidates.get(name.last.casefold(), ()), reading.around)
        if urn in snapshots
    ]
    dialect = reading.script.dialect or None
    columns = [
        judging.proposed_column(column.name, column.type, dialect) for column in proposed.columns
    ]
    reads = frozenset(reading.request.urns)
    return judging.output_of(name, urns[0] if len(urns) == 1 else None, columns, reads)

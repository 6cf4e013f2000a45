"""How severe an issue is: by its code and by the purpose."""

from collections.abc import Iterable, Mapping

from dataspoke.knowledge.verifier.model import Code, Issue, IssueSeverity, Purpose, Verdict

_INFO, _WARN, _BLOCK = IssueSeverity.INFO, IssueSeverity.WARN, IssueSeverity.BLOCK

# For a pipeline, a report and training, in this order; docs/verifier.md shows the same table.
_SEVERITIES: Mapping[Code, tuple[IssueSeverity, IssueSeverity, IssueSeverity]] = {
    Code.SYNTAX: (_BLOCK, _BLOCK, _BLOCK),
    Code.UNREADABLE: (_WARN, _WARN, _WARN),
    Code.OTHER_DIALECT: (_WARN, _WARN, _WARN),
    Code.NOT_CHECKED: (_INFO, _INFO, _INFO),
    Code.TEMPLATE: (_INFO, _INFO, _INFO),
    Code.UNKNOWN_TABLE: (_BLOCK, _BLOCK, _BLOCK),
    Code.UNKNOWN_ALIAS: (_BLOCK, _BLOCK, _BLOCK),
    Code.UNKNOWN_COLUMN: (_BLOCK, _BLOCK, _BLOCK),
    Code.OUTER_COLUMN: (_BLOCK, _BLOCK, _BLOCK),
    Code.AMBIGUOUS_TABLE: (_WARN, _WARN, _WARN),
    Code.AMBIGUOUS_COLUMN: (_BLOCK, _BLOCK, _BLOCK),
    Code.ALIAS_NOT_VISIBLE: (_WARN, _WARN, _WARN),
    Code.QUOTED_AS_TEXT: (_WARN, _WARN, _WARN),
    Code.CASE_DIFFERS: (_INFO, _INFO, _INFO),
    Code.UNKNOWN_SHAPE: (_INFO, _INFO, _INFO),
    Code.COLUMN_COUNT: (_BLOCK, _BLOCK, _BLOCK),
    Code.TYPE_MISMATCH: (_WARN, _WARN, _WARN),
    Code.UNSEEN_JOIN_KEY: (_WARN, _WARN, _WARN),
    Code.REMOVED_INPUT: (_BLOCK, _BLOCK, _BLOCK),
    Code.DEPRECATED_INPUT: (_WARN, _WARN, _WARN),
    Code.STALE_INPUT: (_WARN, _WARN, _WARN),
    Code.FAILING_INPUT: (_WARN, _WARN, _BLOCK),
    Code.SUSPECT_INPUT: (_WARN, _WARN, _WARN),
    Code.PERSONAL_DATA: (_WARN, _WARN, _BLOCK),
    Code.CYCLE: (_BLOCK, _BLOCK, _BLOCK),
    Code.READS_ITS_OUTPUT: (_WARN, _INFO, _INFO),
    Code.BREAKING_CHANGE: (_BLOCK, _BLOCK, _BLOCK),
    Code.SCHEMA_CHANGE: (_INFO, _INFO, _INFO),
    Code.OUTPUT_NAME: (_WARN, _INFO, _INFO),
    Code.OUTPUT_WITHOUT_OWNER: (_WARN, _INFO, _INFO),
    Code.OUTPUT_WITHOUT_DESCRIPTION: (_WARN, _INFO, _INFO),
    Code.NEW_OUTPUT: (_INFO, _INFO, _INFO),
}
_ORDER = (_BLOCK, _WARN, _INFO)


def severity(code: Code, purpose: Purpose) -> IssueSeverity:
    """Return how severe an issue of this code is for this purpose."""
    return _SEVERITIES[code][tuple(Purpose).index(purpose)]


def verdict_on(issues: Iterable[Issue]) -> Verdict:
    """Return the worst of the issues; OK where none is above INFO."""
    found = {issue.severity for issue in issues}
    if _BLOCK in found:
        return Verdict.BLOCK
    return Verdict.WARN if _WARN in found else Verdict.OK


def worst_first(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Return the issues by severity, then by their place in the SQL, each once."""
    once = dict.fromkeys(issues)
    return tuple(
        sorted(
            once,
            key=lambda issue: (
                _ORDER.index(issue.severity),
                issue.place is None,
                issue.place.start if issue.place else 0,
            ),
        )
    )

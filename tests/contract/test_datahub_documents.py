"""Every GraphQL document fits DataHub's whole interface, and its limits."""

from importlib import resources

import pytest
from graphql import Visitor, parse, validate, visit

from dataspoke.localhub.interface import build_schema

FOLDER = resources.files("dataspoke.adapters.datahub")
DOCUMENTS = sorted(entry.name for entry in FOLDER.iterdir() if entry.name.endswith(".graphql"))

# DataHub's limits of a query; it counts fields, whatever the number of entities is.
MAX_COMPLEXITY = 2000
MAX_DEPTH = 50


class _Measure(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.fields = 0
        self.deepest = 0
        self._depth = 0

    def enter_field(self, *_: object) -> None:
        self.fields += 1
        self._depth += 1
        self.deepest = max(self.deepest, self._depth)

    def leave_field(self, *_: object) -> None:
        self._depth -= 1


def test_the_documents_are_packaged():
    assert len(DOCUMENTS) == 15


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_fits_the_interface(name):
    document = parse(FOLDER.joinpath(name).read_text())

    assert validate(build_schema(), document) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_far_below_the_limits(name):
    measure = _Measure()

    visit(parse(FOLDER.joinpath(name).read_text()), measure)

    # A fragment counts wherever it is spread; none is spread more than ten times.
    assert 10 * measure.fields < MAX_COMPLEXITY
    assert 2 * measure.deepest < MAX_DEPTH


def test_a_document_that_does_not_fit_is_found():
    document = parse("query { entities(urns: []) { urn ... on Dataset { customType } } }")

    (error,) = validate(build_schema(), document)
    assert "customType" in error.message

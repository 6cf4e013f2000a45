from graphql import (
    build_client_schema,
    graphql_sync,
    introspection_from_schema,
    parse,
    validate,
    validate_schema,
)

from dataspoke.localhub.interface import build_schema

SCHEMA = build_schema()


def test_the_interface_is_a_valid_schema_that_can_be_introspected() -> None:
    assert validate_schema(SCHEMA) == []
    read_back = build_client_schema(introspection_from_schema(SCHEMA))
    assert read_back.type_map.keys() == SCHEMA.type_map.keys()
    assert "datasetProfiles" in str(read_back.type_map["Dataset"].to_kwargs()["fields"])


def test_a_long_takes_milliseconds_as_literal_and_as_variable() -> None:
    literal = parse('{dataset(urn:"u"){datasetProfiles(startTimeMillis:1800000000000){rowCount}}}')
    assert validate(SCHEMA, literal) == []
    by_variable = 'query($t:Long){dataset(urn:"u"){operations(startTimeMillis:$t){actor}}}'
    answer = graphql_sync(SCHEMA, by_variable, variable_values={"t": 1_800_000_000_000})
    assert answer.errors is None


def test_a_long_refuses_what_is_no_whole_number() -> None:
    for wrong in ('"soon"', "true", "1.5", "99999999999999999999"):
        document = parse(f'{{dataset(urn:"u"){{operations(endTimeMillis:{wrong}){{actor}}}}}}')
        assert validate(SCHEMA, document), wrong


def test_each_schema_has_fields_of_its_own() -> None:
    SCHEMA.query_type.fields["me"].resolve = lambda *_: None  # type: ignore[union-attr]
    assert build_schema().query_type.fields["me"].resolve is None  # type: ignore[union-attr]

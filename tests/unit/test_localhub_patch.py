from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.errors import InvalidInput
from dataspoke.localhub.models import aspect_models
from dataspoke.localhub.patch import apply_patch

TAGS = aspect_models()["globalTags"]
UPSTREAM = aspect_models()["upstreamLineage"]
ORDERS = "urn:li:dataset:(urn:li:dataPlatform:postgres,shop.orders,PROD)"
OWNERSHIP = aspect_models()["ownership"]
NOW_MS = 1_000


def tags(*names: str) -> dict[str, object]:
    return {"tags": [{"tag": f"urn:li:tag:{name}"} for name in names]}


def tag_urns(value: dict[str, object]) -> list[str]:
    return [tag["tag"] for tag in TAGS.validate(value)["tags"]]


def by_source(*operations: dict[str, object]) -> dict[str, object]:
    return {
        "arrayPrimaryKeys": {"tags": ["attribution␟source", "tag"]},
        "patch": list(operations),
    }


def attributed(name: str, source: str) -> dict[str, object]:
    return {
        "tag": f"urn:li:tag:{name}",
        "attribution": {"source": source, "time": 1, "actor": "urn:li:corpuser:a"},
    }


def test_adding_by_key_is_idempotent_and_keeps_the_others():
    patch = [{"op": "add", "path": "/tags/urn:li:tag:b", "value": {"tag": "urn:li:tag:b"}}]

    once = apply_patch(TAGS, tags("a"), patch, NOW_MS)
    twice = apply_patch(TAGS, once, patch, NOW_MS)

    assert tag_urns(once) == tag_urns(twice) == ["urn:li:tag:a", "urn:li:tag:b"]


def test_removing_what_is_not_there_changes_nothing():
    patch = [{"op": "remove", "path": "/tags/urn:li:tag:b"}]

    assert tag_urns(apply_patch(TAGS, tags("a"), patch, NOW_MS)) == ["urn:li:tag:a"]
    assert tag_urns(apply_patch(TAGS, None, patch, NOW_MS)) == []


def test_the_aspect_before_is_left_as_it_was():
    before = tags("a")
    apply_patch(TAGS, before, [{"op": "remove", "path": "/tags/urn:li:tag:a"}], NOW_MS)

    assert before == tags("a")


def test_a_list_can_be_replaced_whole():
    patch = [{"op": "replace", "path": "/tags", "value": tags("c")["tags"]}]

    assert tag_urns(apply_patch(TAGS, tags("a", "b"), patch, NOW_MS)) == ["urn:li:tag:c"]


def test_compound_keys_tell_items_of_the_same_name_apart():
    one, other = "urn:li:dataHubAction:one", "urn:li:dataHubAction:other"
    before = {"tags": [attributed("a", one), attributed("a", other), {"tag": "urn:li:tag:a"}]}
    patch = by_source({"op": "remove", "path": f"/tags/{one}/urn:li:tag:a"})

    left = apply_patch(TAGS, before, patch, NOW_MS)["tags"]

    assert left == [attributed("a", other), {"tag": "urn:li:tag:a"}]


def test_a_path_that_ends_early_takes_all_beneath_it():
    one, other = "urn:li:dataHubAction:one", "urn:li:dataHubAction:other"
    before = {"tags": [attributed("a", one), attributed("b", one), attributed("a", other)]}

    left = apply_patch(TAGS, before, by_source({"op": "remove", "path": f"/tags/{one}"}), NOW_MS)

    assert left["tags"] == [attributed("a", other)]


def test_items_without_the_key_are_addressed_by_an_empty_step():
    patch = by_source(
        {"op": "add", "path": "/tags//urn:li:tag:x", "value": {"tag": "urn:li:tag:x"}}
    )

    patched = apply_patch(TAGS, tags("a"), patch, NOW_MS)

    assert tag_urns(patched) == ["urn:li:tag:a", "urn:li:tag:x"]


def test_a_key_that_only_the_path_names_ends_up_in_the_item():
    patch = [{"op": "add", "path": "/owners/urn:li:corpuser:x/DATAOWNER", "value": {}}]

    patched = OWNERSHIP.validate(apply_patch(OWNERSHIP, None, patch, NOW_MS))

    assert patched["owners"] == [{"owner": "urn:li:corpuser:x", "type": "DATAOWNER"}]


def test_steps_of_a_path_are_unescaped():
    properties = aspect_models()["datasetProperties"]
    patch = [{"op": "add", "path": "/customProperties/a~1b~0c", "value": "v"}]

    assert apply_patch(properties, None, patch, NOW_MS)["customProperties"] == {"a/b~c": "v"}


def test_a_new_aspect_starts_with_what_its_model_requires():
    terms = aspect_models()["glossaryTerms"]
    urn = "urn:li:glossaryTerm:t"
    patch = [{"op": "add", "path": f"/terms/{urn}", "value": {"urn": urn}}]

    patched = terms.validate(apply_patch(terms, None, patch, NOW_MS))

    assert patched["terms"] == [{"urn": urn}]
    assert patched["auditStamp"]["time"] == NOW_MS


COLUMN = "urn:li:schemaField:(urn:li:dataset:(urn:li:dataPlatform:p,{},PROD),id)"


def column_lineage(*upstreams: str, **more: object) -> dict[str, object]:
    return {
        "transformOperation": "COPY",
        "upstreamType": "FIELD_SET",
        "upstreams": [COLUMN.format(name) for name in upstreams],
        "downstreamType": "FIELD",
        "downstreams": [COLUMN.format("down")],
        "confidenceScore": 1.0,
        **more,
    }


def column_step(operation: str, upstream: str, query: str = "NONE") -> dict[str, object]:
    steps = ("COPY", COLUMN.format("down"), query, COLUMN.format(upstream))
    path = "/fineGrainedLineages/" + "/".join(steps)
    return {"op": operation, "path": path, "value": {"confidenceScore": 0.5}}


def test_column_lineage_gains_and_loses_upstreams():
    before = {"upstreams": [], "fineGrainedLineages": [column_lineage("a", "b")]}

    gained = apply_patch(UPSTREAM, before, [column_step("add", "c")], NOW_MS)
    lost = apply_patch(UPSTREAM, before, [column_step("remove", "a")], NOW_MS)
    emptied = apply_patch(UPSTREAM, before, [column_step("remove", name) for name in "ab"], NOW_MS)

    assert gained["fineGrainedLineages"] == [column_lineage("a", "b", "c", confidenceScore=0.5)]
    assert lost["fineGrainedLineages"] == [column_lineage("b")]
    assert emptied["fineGrainedLineages"] == []
    # The OpenAPI wraps the operations in an object.
    wrapped = {"patch": [column_step("add", "c")]}
    assert apply_patch(UPSTREAM, before, wrapped, NOW_MS) == gained
    assert UPSTREAM.validate(gained) == gained


def test_column_lineage_of_another_query_is_another_entry():
    before = {"upstreams": [], "fineGrainedLineages": [column_lineage("a")]}
    query = "urn:li:query:q"

    after = apply_patch(UPSTREAM, before, [column_step("add", "a", query)], NOW_MS)

    assert after["fineGrainedLineages"] == [
        column_lineage("a"),
        column_lineage("a", query=query, confidenceScore=0.5),
    ]


def test_column_lineage_that_has_no_key_is_left_alone_or_refused():
    several = column_lineage("a", downstreams=[COLUMN.format(name) for name in "xy"])
    before = {"upstreams": [], "fineGrainedLineages": [several]}
    other = [{"op": "add", "path": f"/upstreams/{ORDERS}", "value": {"dataset": ORDERS}}]

    assert apply_patch(UPSTREAM, before, other, NOW_MS)["fineGrainedLineages"] == [several]
    with pytest.raises(InvalidInput, match="exactly one downstream"):
        apply_patch(UPSTREAM, before, [column_step("add", "c")], NOW_MS)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ("x", "must be a list of JSON Patch operations"),
        ([{"op": "move", "path": "/a", "from": "/b"}], "Unsupported operation"),
        ([{"op": "add", "path": "tags", "value": 1}], "lacks a path"),
        ([{"op": "add", "path": "/tags/a"}], "does not fit at '/tags/a'"),
        ([{"op": "replace", "path": "/nowhere", "value": 1}], "does not fit at '/nowhere'"),
        ({"arrayPrimaryKeys": {"tags": "tag"}, "patch": []}, "must map fields to lists"),
        (by_source({"op": "add", "path": "/tags/one", "value": "x"}), "told apart by key"),
    ],
)
def test_a_patch_that_cannot_be_applied_is_refused(patch, message):
    with pytest.raises(InvalidInput, match=message):
        apply_patch(TAGS, tags("a"), patch, NOW_MS)


names = st.text("ab/~␟ é", min_size=1, max_size=4)


@given(before=st.lists(names, unique=True), removed=names, added=names)
def test_any_name_can_be_a_key(before, removed, added):
    def step(name: str) -> str:
        return f"urn:li:tag:{name}".replace("~", "~0").replace("/", "~1")

    patch = [
        {"op": "remove", "path": f"/tags/{step(removed)}"},
        {"op": "add", "path": f"/tags/{step(added)}", "value": {"tag": f"urn:li:tag:{added}"}},
    ]

    after = tag_urns(apply_patch(TAGS, tags(*before), patch, NOW_MS))

    expected = ({*before} - {removed}) | {added}
    assert sorted(after) == sorted(f"urn:li:tag:{name}" for name in expected)


steps = st.sampled_from(["tags", "tag", "urn:li:tag:a", "", "-", "0", "attribution", "source"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(steps, inner, max_size=2),
    max_leaves=4,
)
operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace"]),
        "path": st.lists(steps, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)),
        "value": values,
    }
)


@given(
    patch=st.lists(operations, max_size=4),
    keys=st.none()
    | st.dictionaries(steps, st.lists(st.sampled_from(["tag", "attribution␟source"]), max_size=2)),
)
def test_a_patch_is_applied_or_refused_and_never_anything_else(patch, keys):
    body = patch if keys is None else {"arrayPrimaryKeys": keys, "patch": patch}
    before = {"tags": [attributed("a", "urn:li:dataHubAction:x")]}

    # Refused, and nothing else raised, where it does not fit.
    with suppress(InvalidInput):
        after = TAGS.validate(apply_patch(TAGS, before, body, NOW_MS))
        assert isinstance(after["tags"], list)

"""What callers are told of SQL, datasets and outputs, through GraphQL."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from dataspoke.catalogue import Dataset, Field
from dataspoke.errors import DependencyUnavailable
from dataspoke.ports.hub import Incident
from dataspoke.quality.model import Metric, Severity
from dataspoke.quality.sla.model import Outlook, SlaStatus
from tests.support.subgraph import (
    EDITOR,
    NOW,
    PLATFORM,
    STRANGER,
    VIEWER,
    Altered,
    Subgraph,
    alert_of,
    urn,
)

VERIFY = """
query ($input: VerifyContextInput!) {
  verifyContext(input: $input) {
    verdict dialect
    issues {
      code severity message evidence column
      place { line column start end }
      fix { message replacement place { start end } }
      dataset { urn }
    }
    alternatives { dataset { urn } insteadOf why missing }
    inputs { urn } outputs { urn }
  }
}
"""


@pytest.fixture
async def subgraph() -> Subgraph:
    made = Subgraph()
    await made.put("orders", "customers", "payroll")
    return made


async def put(subgraph: Subgraph, *datasets: Dataset, upstream: Sequence[str] = ()) -> None:
    for dataset in datasets:
        subgraph.hub.put(dataset, upstream=upstream)
    async with subgraph.store.transaction() as tx:
        await tx.request_index([dataset.urn for dataset in datasets])
    await subgraph.index.reindex(None)


def dataset(name: str, *columns: str, **more: Any) -> Dataset:
    fields = tuple(Field(column) for column in columns)
    return Dataset(urn(name), f"shop.{name}", PLATFORM, fields=fields, **more)


async def verify(
    subgraph: Subgraph, sql: str | None = None, token: str = EDITOR, **more: Any
) -> Any:
    wanted = {"sql": sql, **more}
    return (await subgraph.data(VERIFY, token, input=wanted))["verifyContext"]


def codes(verdict: Any) -> list[str]:
    return [issue["code"] for issue in verdict["issues"]]


async def test_an_answer_has_all_that_is_needed_to_mend_the_sql(subgraph: Subgraph) -> None:
    sql = "select o.id,\n       o.order_total\nfrom shop.orders o"
    verdict = await verify(subgraph, sql, platform="postgres")
    assert verdict == {
        "verdict": "BLOCK",
        "dialect": "postgres",
        "issues": [
            {
                "code": "UNKNOWN_COLUMN",
                "severity": "BLOCK",
                "message": "There is no column order_total in shop.orders (o).",
                "evidence": "It has id, orders_total.",
                "column": "order_total",
                "place": {"line": 2, "column": 10, "start": 22, "end": 33},
                "fix": {
                    "message": "Write orders_total.",
                    "replacement": "orders_total",
                    "place": {"start": 22, "end": 33},
                },
                "dataset": {"urn": urn("orders")},
            }
        ],
        "alternatives": [],
        "inputs": [{"urn": urn("orders")}],
        "outputs": [],
    }


async def test_what_a_caller_may_not_see_is_as_what_is_not_there(subgraph: Subgraph) -> None:
    sql = "create table shop.mart as select t.id, t.nope from shop.{} t"
    hidden = await verify(subgraph, sql.format("orders"), STRANGER)
    absent = await verify(subgraph, sql.format("absent"), STRANGER)
    assert codes(hidden) == ["UNKNOWN_TABLE", "NEW_OUTPUT"]

    def without_name(verdict: Any) -> str:
        return str(verdict).replace("orders", "absent")

    assert without_name(hidden) == without_name(absent)
    by_urn = await verify(subgraph, urns=[urn("orders")], token=STRANGER)
    assert without_name(by_urn) == without_name(
        await verify(subgraph, urns=[urn("absent")], token=STRANGER)
    )


async def test_a_name_is_not_ambiguous_with_what_a_caller_may_not_see(subgraph: Subgraph) -> None:
    other = replace(
        dataset("x", "id"), urn=urn("x").replace("shop.x", "crm.orders"), name="crm.orders"
    )
    await put(subgraph, other)
    both = await verify(subgraph, "select id from orders")
    assert codes(both) == ["AMBIGUOUS_TABLE"]
    subgraph.hub.admit("partner", "urn:li:corpuser:partner", rights={other.urn: None})
    one = await verify(subgraph, "select id from orders", "partner")
    assert (one["verdict"], one["inputs"]) == ("OK", [{"urn": urn("orders")}])


async def test_alerts_and_deadlines_of_inputs_are_told_to_whom_they_may_be(
    subgraph: Subgraph,
) -> None:
    volume = replace(alert_of("payroll"), severity=Severity.ERROR)
    late = alert_of("payroll", Metric.FRESHNESS)
    minor = replace(alert_of("payroll", Metric.COLUMN_COUNT), severity=Severity.WARN)
    await subgraph.save_alerts(volume, late, minor)
    sql = "select id from shop.payroll"
    verdict = await verify(subgraph, sql, purpose="TRAINING")
    told = {issue["code"]: issue for issue in verdict["issues"]}
    assert set(told) == {"FAILING_INPUT", "STALE_INPUT", "SUSPECT_INPUT"}
    assert told["FAILING_INPUT"]["severity"] == "BLOCK"
    assert told["FAILING_INPUT"]["message"] == ("shop.payroll: row_count was 10, expected 90–110.")
    assert told["FAILING_INPUT"]["evidence"] == "Alert since 2026-11-24 00:00 UTC."
    assert (await verify(subgraph, sql))["verdict"] == "WARN"
    # Its operations are not for viewers.
    seen = await verify(subgraph, sql, VIEWER, purpose="TRAINING")
    assert set(codes(seen)) == {"FAILING_INPUT", "SUSPECT_INPUT"}


async def test_an_open_incident_is_told_of_unless_it_shows_an_alert(subgraph: Subgraph) -> None:
    alert = alert_of("orders")
    of_alert = Incident(
        id=alert.id,
        urn=urn("orders"),
        check=alert.check,
        title="Rows are missing",
        description="",
        severity=alert.severity,
        active=True,
        started_at=NOW,
        raised_at=NOW,
        changed_at=NOW,
    )
    of_people = replace(of_alert, id=UUID(int=7), title="Do not trust this")
    await subgraph.save_alerts(alert)
    await subgraph.hub.write_incidents([of_alert, of_people])
    verdict = await verify(subgraph, "select id from shop.orders")
    assert [(i["code"], i["message"], i["evidence"]) for i in verdict["issues"]] == [
        (
            "FAILING_INPUT",
            "shop.orders: row_count was 10, expected 90–110.",
            "Alert since 2026-11-24 00:00 UTC.",
        ),
        (
            "FAILING_INPUT",
            "shop.orders: it has an open incident, 'Do not trust this'.",
            "Raised 2026-11-24 00:00 UTC.",
        ),
    ]


@pytest.mark.parametrize(
    ("status", "arrived", "code"),
    [
        (SlaStatus.MISSED, False, "STALE_INPUT"),
        (SlaStatus.MISSED, True, None),
        (SlaStatus.AT_RISK, False, "SUSPECT_INPUT"),
        (SlaStatus.ON_TRACK, False, None),
    ],
)
async def test_a_missed_deadline_makes_an_input_stale(
    subgraph: Subgraph, status: SlaStatus, arrived: bool, code: str | None
) -> None:
    outlook = Outlook(urn("orders"), NOW, status, NOW, arrived_at=NOW if arrived else None)
    async with subgraph.store.transaction() as tx:
        await tx.save_outlooks([outlook])
    assert codes(await verify(subgraph, "select id from shop.orders")) == ([code] if code else [])


async def test_a_failing_check_without_an_alert_makes_an_input_suspect(subgraph: Subgraph) -> None:
    await subgraph.put("broken", failing=["broken"])
    (alert,) = (await subgraph.store.active_alerts([urn("broken")]))[urn("broken")]
    verdict = await verify(subgraph, "select id from shop.broken")
    # The alert is told of once, and the check that fails besides.
    assert codes(verdict) == ["FAILING_INPUT", "STALE_INPUT"]
    assert alert.severity is Severity.ERROR


async def test_healthy_datasets_stand_in_for_bad_ones(subgraph: Subgraph) -> None:
    await put(
        subgraph,
        dataset("orders_old", "id", "orders_total", deprecated=True, replacement=urn("orders")),
    )
    await subgraph.put("orders_copy", failing=["orders_copy"])
    verdict = await verify(subgraph, "select id, orders_total from shop.orders_old")
    assert codes(verdict) == ["DEPRECATED_INPUT"]
    first, *others = verdict["alternatives"]
    assert first == {
        "dataset": {"urn": urn("orders")},
        "insteadOf": urn("orders_old"),
        "why": "named as its replacement",
        "missing": [],
    }
    assert urn("orders_copy") not in {other["dataset"]["urn"] for other in others}


async def test_a_table_that_is_misspelt_is_found(subgraph: Subgraph) -> None:
    verdict = await verify(subgraph, "select id from shop.custmers")
    (issue,) = verdict["issues"]
    assert issue["fix"]["replacement"] == "shop.customers"
    assert verdict["alternatives"][0]["dataset"] == {"urn": urn("customers")}
    assert verdict["alternatives"][0]["insteadOf"] == "shop.custmers"
    nobody = await verify(subgraph, "select id from shop.custmers", STRANGER)
    assert nobody["issues"][0]["fix"] is None
    assert nobody["alternatives"] == []


async def test_a_search_that_is_down_costs_only_the_alternatives(subgraph: Subgraph) -> None:
    async def fails(*_: object) -> Any:
        raise DependencyUnavailable("vectors", "The index does not answer.")

    subgraph.vectors.search = fails  # type: ignore[method-assign]
    verdict = await verify(subgraph, "select id from shop.completely_other")
    assert (codes(verdict), verdict["alternatives"]) == (["UNKNOWN_TABLE"], [])


async def test_a_cycle_is_found_over_the_lineage_of_the_hub(subgraph: Subgraph) -> None:
    await put(subgraph, dataset("mart", "id"), upstream=[urn("orders")])
    await put(subgraph, dataset("summary", "id"), upstream=[urn("mart")])
    verdict = await verify(subgraph, "insert into shop.orders (id) select id from shop.summary")
    assert codes(verdict)[0] == "CYCLE"
    assert verdict["outputs"] == [{"urn": urn("orders")}]


async def test_consumers_are_those_that_the_caller_may_see(subgraph: Subgraph) -> None:
    await put(subgraph, dataset("mart", "id"), upstream=[urn("orders")])
    await put(subgraph, dataset("orders", "id", "orders_total"))
    wanted = {"name": "shop.orders", "columns": [{"name": "id"}]}
    verdict = await verify(subgraph, output=wanted)
    assert codes(verdict)[0] == "BREAKING_CHANGE"
    assert verdict["issues"][0]["evidence"] == "shop.mart is made from it."
    subgraph.hub.admit("partner", "urn:li:corpuser:partner", rights={urn("mart"): None})
    assert "BREAKING_CHANGE" not in codes(await verify(subgraph, token="partner", output=wanted))


async def test_a_new_name_is_compared_with_its_schema(subgraph: Subgraph) -> None:
    await subgraph.put("fct_a", "fct_b")
    wanted = {"name": "shop.FctC", "columns": [{"name": "id"}]}
    verdict = await verify(subgraph, output=wanted)
    assert codes(verdict) == ["OUTPUT_NAME", "NEW_OUTPUT"]
    assert verdict["issues"][0]["fix"]["message"] == "Name it fct_c."
    # What lies beside it is not told to those who may not see it.
    assert codes(await verify(subgraph, token=STRANGER, output=wanted)) == ["NEW_OUTPUT"]


async def test_an_answer_is_kept_for_a_minute_and_for_one_caller(subgraph: Subgraph) -> None:
    sql = "select id from shop.orders"
    first = await verify(subgraph, sql)
    await subgraph.save_alerts(alert_of("orders"))
    asked = subgraph.calls["snapshots"]
    assert await verify(subgraph, sql) == first
    assert subgraph.calls["snapshots"] == asked
    # Another purpose, and another caller, are other questions.
    assert codes(await verify(subgraph, sql, purpose="REPORT")) == ["FAILING_INPUT"]
    assert codes(await verify(subgraph, sql, STRANGER)) == ["UNKNOWN_TABLE"]
    subgraph.clock.advance(timedelta(seconds=61))
    assert codes(await verify(subgraph, sql)) == ["FAILING_INPUT"]


async def test_fifty_tables_are_asked_for_as_one(subgraph: Subgraph) -> None:
    names = [f"t{number}" for number in range(50)]
    await subgraph.put(*names)

    async def asked(sql: str) -> dict[str, int]:
        subgraph.calls.clear()
        assert (await verify(subgraph, sql))["verdict"] == "OK"
        return dict(subgraph.calls)

    one = await asked("select id from shop.t1")
    many = await asked(" union ".join(f"select id from shop.{name}" for name in names))
    assert many == one
    assert one["access"] == 1


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({}, "nothing to check"),
        ({"sql": "  "}, "nothing to check"),
        ({"sql": "select 1", "dialect": "klingon"}, "dialect 'klingon' is not known"),
        ({"sql": "x" * 100_001}, "100,001"),
        ({"urns": ["orders"]}, "'orders' is not a dataset urn"),
        ({"urns": [urn("orders")] * 101}, "urns may hold 100"),
        ({"output": {"name": " ", "columns": [{"name": "a"}]}}, "output.name is empty"),
        ({"output": {"name": "a", "columns": []}}, "output.columns"),
    ],
)
async def test_what_cannot_be_checked_is_refused(
    subgraph: Subgraph, wanted: dict[str, Any], says: str
) -> None:
    answer = await subgraph.ask(VERIFY, EDITOR, input=wanted)
    assert answer["data"] == {"verifyContext": None}
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert says in error["message"]


async def test_nobody_is_answered_without_a_token(subgraph: Subgraph) -> None:
    answer = await subgraph.ask(VERIFY, None, input={"sql": "select 1"})
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_cache_that_is_down_or_of_another_release_hinders_nothing(
    subgraph: Subgraph,
) -> None:
    async def odd(_: str) -> bytes:
        return b'{"verdict": "MAYBE"}'

    service: Any = subgraph.services.verifier
    service._cache = Altered(service._cache, get=odd)
    assert (await verify(subgraph, "select id from shop.orders"))["verdict"] == "OK"

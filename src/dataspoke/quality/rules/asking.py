"""Asking a rule: of what is known, else of the database that the dataset lies in."""

import asyncio
import logging
from datetime import datetime

from dataspoke.errors import DataSpokeError
from dataspoke.ports.warehouse import Warehouses
from dataspoke.quality.model import Judgement
from dataspoke.quality.rules.evaluation import (
    Facts,
    failed,
    judge,
    judge_answer,
    judge_matching,
    judge_statistic,
)
from dataspoke.quality.rules.model import Column, RuleSpec, Sql
from dataspoke.quality.rules.statements import matching_query, statistic_query

_log = logging.getLogger(__name__)


async def ask(
    spec: RuleSpec, facts: Facts, at: datetime, warehouses: Warehouses, deadline: float
) -> Judgement:
    """Return what a rule says of a dataset now; never raises for what the rule is to blame for.

    A rule that cannot be evaluated says Status.ERROR and why. ``deadline`` is a time of the event
    loop at which queries are given up.
    """
    try:
        async with asyncio.timeout_at(deadline):
            found = judge(spec, facts, at)
            return await _query(spec, facts, at, warehouses) if found is None else found
    except DataSpokeError as error:
        return failed(spec, at, _sentence(error.public_message))
    except TimeoutError:
        return failed(
            spec,
            at,
            "the queries of all rules together took too long; make them cheaper, or give them "
            "schedules at other times",
        )
    except Exception:
        # Nothing that a rule can bring up may stop the scan that the other rules are part of.
        _log.exception("Rule %s failed on %s.", spec.name, facts.dataset.urn)
        return failed(spec, at, "an unexpected error, which the worker's log describes")


async def _query(spec: RuleSpec, facts: Facts, at: datetime, warehouses: Warehouses) -> Judgement:
    definition = spec.definition
    if isinstance(definition, Sql):
        connection = definition.connection
        if connection is None:
            table = warehouses.table(facts.dataset, None)
            if table is None:
                return failed(spec, at, _no_connection(facts))
            connection = table.connection
        answer = await warehouses.select(connection, definition.query)
        return judge_answer(spec, definition.expect, answer.rows, at, more=answer.more)
    if not isinstance(definition, Column):
        raise TypeError(f"a {spec.kind} rule takes no query")
    table = warehouses.table(facts.dataset, definition.connection)
    if table is None:
        why = "a pattern takes a query" if definition.pattern else "no newest profile tells"
        return failed(spec, at, f"{why}, and {_no_connection(facts)}")
    if definition.statistic is not None:
        answer = await warehouses.select(
            table.connection, statistic_query(definition, table.parts, table.dialect)
        )
        return judge_statistic(spec, definition, answer.rows[0], at)
    answer = await warehouses.select(
        table.connection, matching_query(definition, table.parts, table.dialect)
    )
    matching, values = answer.rows[0]
    return judge_matching(spec, definition, matching, values, at)


def _no_connection(facts: Facts) -> str:
    platform = facts.dataset.platform.rpartition(":")[2]
    return (
        "no connection is registered for the dataset; name one in the rule, or set "
        f"DATASPOKE_WAREHOUSES__<NAME>__URL and __PLATFORM={platform}"
    )


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")

"""A small catalogue, and the verifier on it without any service."""

from collections.abc import Mapping, Sequence
from typing import Any

from dataspoke.catalogue import Dataset, Field, Lineage
from dataspoke.knowledge.model import Join, Snapshot
from dataspoke.knowledge.verifier.checking import by_name, conclude, find, read_request
from dataspoke.knowledge.verifier.judging import Rules, Surveyed
from dataspoke.knowledge.verifier.model import Code, ContextVerdict, Issue, VerifyRequest

PLATFORM = "urn:li:dataPlatform:postgres"
PERSONAL = "urn:li:tag:PII"


def urn(name: str, platform: str = PLATFORM, environment: str = "PROD") -> str:
    return f"urn:li:dataset:({platform},{name},{environment})"


def table(
    name: str,
    columns: str = "",
    *,
    tags: Mapping[str, Sequence[str]] | None = None,
    joins: Sequence[Join] = (),
    downstream: Sequence[str] = (),
    platform: str = PLATFORM,
    environment: str = "PROD",
    **more: Any,
) -> Snapshot:
    """Return a dataset; ``columns`` are written ``id int, name text``, ``tags`` go by column."""
    fields = []
    for column in filter(None, (part.strip() for part in columns.split(","))):
        path, _, kind = column.partition(" ")
        fields.append(Field(path, native_type=kind or None, tags=tuple((tags or {}).get(path, ()))))
    dataset = Dataset(
        urn(name, platform, environment), name, platform, fields=tuple(fields), **more
    )
    return Snapshot(dataset, Lineage(downstream=tuple(downstream)), tuple(joins))


SHOP = (
    table("shop.public.orders", "id int, customer_id int, amount numeric, placed_at timestamp"),
    table(
        "shop.public.customers",
        "id int, name text, email text, country_id int, born date",
        tags={"email": (PERSONAL,)},
    ),
    table("shop.public.countries", "id int, name text, iso text"),
    table("shop.public.events", "id int, payload struct, payload.kind text, tags array<text>"),
    table("shop.public.unseen"),
)


def verified(
    sql: str | None,
    *snapshots: Snapshot,
    surveyed: Mapping[str, Any] | None = None,
    rules: Rules | None = None,
    **request: Any,
) -> ContextVerdict:
    """Return the verdict on SQL, in PostgreSQL unless a dialect is given, in this catalogue."""
    known = {each.dataset.urn: each for each in snapshots or SHOP}
    if "platform" not in request:
        request.setdefault("dialect", "postgres")
    reading = read_request(VerifyRequest(sql=sql, **request))
    findings = find(reading, by_name(known), known)
    survey = Surveyed(known, **{"visible": frozenset(known), **(surveyed or {})})
    personal = frozenset({"pii", "personal"})
    return conclude(reading, findings, survey, rules or Rules(personal))


def codes(verdict: ContextVerdict) -> list[Code]:
    return [issue.code for issue in verdict.issues]


def only(verdict: ContextVerdict, code: Code) -> Issue:
    """Return the one issue of a code."""
    (found,) = [issue for issue in verdict.issues if issue.code is code]
    return found

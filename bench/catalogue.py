"""A catalogue as large warehouses have them, made up, and the same whoever asks for it.

Names, columns and descriptions are drawn from word lists by Zipf's law: a few subjects have
thousands of tables, and nearly every table has ``id`` and ``created_at``. Source systems, whose
names are made of syllables, give it the long tail: words that stand in a few tables only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dataspoke.catalogue import Dataset, Field, ForeignKey

_SUBJECTS = {
    "sales": "order customer opportunity quote account discount invoice territory lead contract",
    "marketing": "campaign click impression audience segment newsletter attribution promotion",
    "finance": "payment ledger invoice journal budget expense asset tax reconciliation forecast",
    "logistics": "shipment parcel carrier route warehouse pallet delivery customs container",
    "product": "session event feature experiment release feedback subscription screen funnel",
    "people": "employee payroll absence position applicant interview review training team",
    "support": "ticket conversation agent escalation survey refund article queue complaint",
    "supply": "supplier purchase material component inventory batch stock requisition lot",
    "risk": "claim policy fraud exposure rating limit collateral default scenario breach",
    "platform": "job cluster query deployment incident node token permission schedule log",
    "health": "patient encounter diagnosis procedure prescription laboratory ward allergy",
    "energy": "meter reading turbine outage tariff grid substation consumption sensor",
}
_DOMAINS = tuple(_SUBJECTS)
_FORMS = (
    *("fact {}", "dim {}", "{} history", "{} snapshot", "{} daily", "{} lines", "{} detail"),
    *("{} summary", "{} mapping", "stg {}", "{} monthly", "{} audit", "agg {}", "{} current"),
)
_QUALIFIERS = """
    online retail active pending regional wholesale mobile internal legacy global partner failed
    approved cancelled expired external temporary manual automatic corporate seasonal trial premium
    beta emea apac german french japanese brazilian american european
""".split()  # noqa: SIM905
_COLUMNS = """
    status type amount name date code description quantity price currency start end total net gross
    tax rate count category channel source owner email phone address city country postal latitude
    longitude duration score level priority reason comment version flag hash balance margin cost
    weight volume length width height brand model color size language device browser referrer url
    revenue profit share target actual variance period quarter month week year hour timezone batch
    sequence parent path rank grade manager department location shift skill certificate license
""".split()  # noqa: SIM905
_ALWAYS = ("id", "created_at", "updated_at", "loaded_at", "is_deleted")
_PURPOSES = (
    "One row for each {subject} of the {system} system.",
    "Daily state of every {subject}, as {system} exports it at night.",
    "All {subject} records that {system} has sent since the migration, without duplicates.",
    "Sums by {one} and {other} for the {subject} dashboards of the {domain} team.",
    "Joins each {subject} with its {one}; use this table rather than the export of {system}.",
    "History of changes to every {subject}: who changed {one} or {other}, and when.",
    "Corrected {subject} data for the month end close of {domain}, without tests of {system}.",
)
_COLUMN_PURPOSES = ("{} of the {}", "{} as the {} was entered", "last known {} of this {}")
_QUESTIONS = (
    "which {subject} had the highest {one} by {other}",
    "{subject} {one} per {other} from {system}",
    "how many {qualifier} {subject} records were there last month",
    "daily {subject} {other} of the {domain} team",
    "where do we keep the {one} and {other} of each {subject}",
    "{qualifier} {subject} with their {one}",
    "list every {subject} that {system} exports",
    "average {one} for a {qualifier} {subject}",
)
_LAYERS = ("raw", "staging", "core", "mart", "reporting", "sandbox", "archive")
_PLATFORMS = ("snowflake", "bigquery", "postgres", "hive", "redshift", "s3", "kafka")
_TAGS = ("pii", "gold", "silver", "bronze", "certified", "sensitive", "hourly", "legacy")
_SYLLABLES = """
    ar bel cor dra eno fin gal hex ion ju kel lum mar nor ori pax qua rel sol tri
""".split()  # noqa: SIM905
_SYSTEMS = 4_000
_OWNERS = 400


class Topic(NamedTuple):
    """What a dataset or a question is about."""

    domain: str
    subject: str
    system: str
    qualifier: str


def dataset(number: int) -> Dataset:
    """Return the dataset of this number."""
    topic, urn, name = _named(number)
    chance = np.random.default_rng([number, 1])
    words = _some(chance, _COLUMNS, int(chance.integers(3, 40)))
    fields = (*(Field(column, "TEXT") for column in _ALWAYS), *_fields(chance, topic, words))
    described, key = _about(chance, _PURPOSES, topic, words), f"{topic.subject}_id"
    other = int(chance.integers(number + 1))
    return Dataset(
        urn=urn,
        name=name,
        platform=urn.partition("(")[2].partition(",")[0],
        description=described if chance.random() < 0.8 else None,
        fields=fields,
        owners=(f"urn:li:corpuser:user{_zipf(chance, _OWNERS):03}",),
        tags=tuple(f"urn:li:tag:{tag}" for tag in _TAGS if chance.random() < 0.1),
        terms=(f"urn:li:glossaryTerm:{topic.domain}.{topic.subject}",)
        if chance.random() < 0.4
        else (),
        domain=f"urn:li:domain:{topic.domain}",
        foreign_keys=(ForeignKey((key,), _named(other)[1], ("id",)),)
        if chance.random() < 0.5
        else (),
    )


def topic(number: int) -> Topic:
    """Return what the dataset of this number is about."""
    return _named(number)[0]


def questions(count: int) -> Sequence[str]:
    """Return that many questions, no two alike, about subjects as common as they are in tables."""
    chance = np.random.default_rng(2)
    found: dict[str, None] = {}
    while len(found) < count:
        found[_about(chance, _QUESTIONS, _topic(chance), _some(chance, _COLUMNS, 2))] = None
    return list(found)


def _named(number: int) -> tuple[Topic, str, str]:
    """Return topic, urn and name of a dataset."""
    chance = np.random.default_rng([number, 0])
    topic = _topic(chance)
    qualified = f"{topic.qualifier} {topic.subject}" if chance.random() < 0.7 else topic.subject
    name = "_".join([*_one(chance, _FORMS).format(qualified).split(), f"{number:x}"])
    platform, layer = _one(chance, _PLATFORMS), _one(chance, _LAYERS)
    path = f"{topic.system}.{layer}_{topic.domain}.{name}"
    return topic, f"urn:li:dataset:(urn:li:dataPlatform:{platform},{path},PROD)", name


def _topic(chance: np.random.Generator) -> Topic:
    domain = _one(chance, _DOMAINS)
    subject = _one(chance, _SUBJECTS[domain].split())
    rest, syllables = _zipf(chance, _SYSTEMS) + len(_SYLLABLES) ** 2, []
    while rest:
        rest, syllable = divmod(rest, len(_SYLLABLES))
        syllables.append(_SYLLABLES[syllable])
    return Topic(domain, subject, "".join(syllables), _one(chance, _QUALIFIERS))


def _fields(chance: np.random.Generator, topic: Topic, words: Sequence[str]) -> list[Field]:
    fields = []
    for word in words:
        purpose = _one(chance, _COLUMN_PURPOSES).format(word, topic.subject)
        path = f"{topic.subject}_{word}" if chance.random() < 0.5 else word
        fields.append(Field(path, "TEXT", purpose if chance.random() < 0.3 else None))
    return [Field(f"{topic.subject}_id", "BIGINT"), *fields]


def _about(
    chance: np.random.Generator, templates: Sequence[str], topic: Topic, words: Sequence[str]
) -> str:
    template = templates[int(chance.integers(len(templates)))]
    return template.format(**topic._asdict(), one=words[0], other=words[1])


def _one(chance: np.random.Generator, words: Sequence[str]) -> str:
    return words[_zipf(chance, len(words))]


def _some(chance: np.random.Generator, words: Sequence[str], count: int) -> list[str]:
    weights = 1 / np.arange(1, len(words) + 1)
    return [str(w) for w in chance.choice(words, count, replace=False, p=weights / weights.sum())]


def _zipf(chance: np.random.Generator, size: int) -> int:
    """Return 0 to ``size`` - 1, each half as often as the one of half its rank."""
    return int((size + 1) ** chance.random()) - 1

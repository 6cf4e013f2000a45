"""The bookshop is what DataHub's own classes accept, and its labels say what is in it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.metadata.urns import Urn

from dataspoke.localhub import sample
from dataspoke.localhub.sample import FaultKind, Label, Sample

END = datetime(2026, 11, 24, 9, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop() -> Sample:
    return sample.generate(end=END)


def _values(shop: Sample, aspect: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for record in shop.records:
        if record["aspectName"] == aspect:
            yield record["entityUrn"], record["aspect"]["json"]


def _rows(shop: Sample, urn: str) -> list[tuple[datetime, int]]:
    return [
        (datetime.fromtimestamp(value["timestampMillis"] / 1000, UTC), value["rowCount"])
        for owner, value in _values(shop, "datasetProfile")
        if owner == urn
    ]


def test_the_same_arguments_give_the_same_sample_and_another_seed_another() -> None:
    month = sample.generate(end=END, days=60)
    assert sample.generate(end=END, days=60) == month
    assert sample.generate(end=END, days=60, seed=2).labels != month.labels


def test_the_time_of_day_cuts_the_history_and_changes_nothing_before_it(shop: Sample) -> None:
    last_ms = END.timestamp() * 1000
    whole = sample.generate(end=END.date()).records
    kept = [
        record
        for record in whole
        if record["aspect"]["json"].get("timestampMillis", last_ms) <= last_ms
    ]
    assert kept == shop.records
    assert len(kept) < len(whole)


def test_every_record_is_what_the_sdk_would_write() -> None:
    # Four days hold every kind of record; half a year of them would take the SDK eight seconds.
    for record in sample.generate(end=END, days=4).records:
        proposal = MetadataChangeProposalWrapper.from_obj(json.loads(json.dumps(record)))
        assert isinstance(proposal, MetadataChangeProposalWrapper)
        assert proposal.aspect is not None
        assert proposal.aspect.validate()
        assert proposal.to_obj(simplified_structure=True) == record


def test_whatever_is_referenced_exists(shop: Sample) -> None:
    defined = {record["entityUrn"] for record in shop.records}
    for urn in defined:
        assert Urn.from_string(urn).urn() == urn
    referenced = {
        owner["owner"] for _, value in _values(shop, "ownership") for owner in value["owners"]
    }
    referenced |= {urn for _, value in _values(shop, "domains") for urn in value["domains"]}
    referenced |= {urn for _, value in _values(shop, "groupMembership") for urn in value["groups"]}
    referenced |= {value["parentNode"] for _, value in _values(shop, "glossaryTermInfo")}
    referenced |= {
        upstream["dataset"]
        for _, value in _values(shop, "upstreamLineage")
        for upstream in value["upstreams"]
    }
    referenced |= {
        subject["entity"]
        for _, value in _values(shop, "querySubjects")
        for subject in value["subjects"]
    }
    referenced |= {
        value["replacement"]
        for _, value in _values(shop, "deprecation")
        if value.get("replacement")
    }
    labelled = [value for _, value in _values(shop, "schemaMetadata")]
    fields = [field for value in labelled for field in value["fields"]]
    entities = [
        {aspect: value}
        for aspect in ("globalTags", "glossaryTerms")
        for _, value in _values(shop, aspect)
    ]
    for part in fields + entities:
        referenced |= {tag["tag"] for tag in part.get("globalTags", {}).get("tags", ())}
        referenced |= {term["urn"] for term in part.get("glossaryTerms", {}).get("terms", ())}
    assert referenced <= defined
    assert len(referenced) > 80


def test_the_catalogue_is_as_uneven_as_a_real_one(shop: Sample) -> None:
    about = {urn: value.get("description") for urn, value in _values(shop, "datasetProperties")}
    platforms = Counter(urn.split(":")[6].split(",")[0] for urn in about)
    assert set(platforms) == {"postgres", "kafka", "snowflake"}
    assert 75 <= len(about) <= 90
    for lacking in (
        {urn for urn, text in about.items() if not text},
        set(about) - {urn for urn, _ in _values(shop, "ownership")},
        set(about) - {urn for urn, _ in _values(shop, "domains")},
    ):
        assert 0.1 < len(lacking) / len(about) < 0.4
    assert sum(1 for _ in _values(shop, "deprecation")) >= 3
    described = [
        bool(field.get("description"))
        for _, value in _values(shop, "schemaMetadata")
        for field in value["fields"]
    ]
    assert 0.4 < np.mean(described) < 0.8


def test_labels_lie_within_the_history_and_only_two_at_its_end(shop: Sample) -> None:
    first = END - timedelta(days=180)
    assert all(first <= label.start <= label.end <= END for label in shop.labels)
    assert {label.kind for label in shop.labels} == set(FaultKind)
    recent = [label for label in shop.labels if label.end > END - timedelta(days=3)]
    assert {(label.kind, label.end) for label in recent} == {
        (FaultKind.DROP, END.replace(hour=7, minute=30)),
        (FaultKind.LATE, END),
    }
    profiled = {urn for urn, _ in _values(shop, "datasetProfile")}
    assert 0.2 < len({label.urn for label in shop.labels}) / len(profiled) < 0.5


@pytest.mark.parametrize("hour", [0, 3, 12, 23])
def test_at_any_hour_the_newest_profile_of_the_chosen_table_is_faulty(hour: int) -> None:
    end = END.replace(hour=hour)
    shop = sample.generate(end=end, days=14)
    label = next(label for label in shop.labels if "fct_sales_d," in label.urn)
    newest, rows = _rows(shop, label.urn)[-1]
    assert label.start <= newest <= label.end
    week_before = [count for moment, count in _rows(shop, label.urn) if moment < label.start][-7:]
    assert rows < 0.75 * min(week_before)


def test_drops_and_spikes_stand_out_of_the_same_weekday_before(shop: Sample) -> None:
    for label in shop.labels:
        if label.kind not in (FaultKind.DROP, FaultKind.SPIKE):
            continue
        rows = dict(_rows(shop, label.urn))
        usual = np.median([rows[label.start - timedelta(days=7 * week)] for week in (1, 2, 3)])
        ratio = rows[label.start] / usual
        assert ratio < 0.95 if label.kind is FaultKind.DROP else ratio > 1.15, label


def test_drift_walks_away_from_the_weeks_before_in_one_direction(shop: Sample) -> None:
    drifts = [label for label in shop.labels if label.kind is FaultKind.DRIFT]
    for label in drifts:
        rows = dict(_rows(shop, label.urn))
        length = (label.end - label.start).days + 1
        assert 10 <= length <= 20
        week = timedelta(days=7)
        # The last five days against the same days of the week before the drift began.
        ratios = [
            rows[day] / np.median([rows[day - weeks * week] for weeks in (3, 4, 5)])
            for day in (label.end - timedelta(days=back) for back in range(5))
        ]
        assert np.median(ratios) < 0.92 or np.median(ratios) > 1.08, label
    assert len(drifts) >= 3


def test_null_bursts_raise_the_share_of_the_labelled_column(shop: Sample) -> None:
    shares: dict[tuple[str, str], dict[datetime, float]] = defaultdict(dict)
    for urn, value in _values(shop, "datasetProfile"):
        moment = datetime.fromtimestamp(value["timestampMillis"] / 1000, UTC)
        for field in value.get("fieldProfiles", ()):
            shares[urn, field["fieldPath"]][moment] = field["nullProportion"]
    bursts = [label for label in shop.labels if label.kind is FaultKind.NULLS]
    for label in bursts:
        assert label.field is not None
        series = shares[label.urn, label.field]
        inside = [share for when, share in series.items() if label.start <= when <= label.end]
        before = [share for when, share in series.items() if when < label.start][-14:]
        assert min(inside) > max(before), label
    assert len(bursts) >= 3


def test_columns_are_profiled_as_a_profiler_would(shop: Sample) -> None:
    seen: Counter[str] = Counter()
    for _, value in _values(shop, "datasetProfile"):
        rows = value["rowCount"]
        for field in value.get("fieldProfiles", ()):
            seen.update(field.keys())
            assert field["nullCount"] <= rows
            assert 0 <= field["nullProportion"] <= 1
            if "mean" in field:
                assert float(field["min"]) < float(field["mean"]) < float(field["max"])
                assert float(field["stdev"]) > 0
            if counts := field.get("distinctValueFrequencies"):
                assert sum(each["frequency"] for each in counts) == rows
                assert field["uniqueCount"] == len(counts) == len(field["sampleValues"])
    assert min(seen[name] for name in ("mean", "uniqueProportion", "sampleValues")) > 500


def test_tables_are_queried_by_the_day_and_less_at_weekends(shop: Sample) -> None:
    queries: dict[str, dict[datetime, int]] = defaultdict(dict)
    for urn, value in _values(shop, "datasetUsageStatistics"):
        moment = datetime.fromtimestamp(value["timestampMillis"] / 1000, UTC)
        assert moment.time() == datetime.min.time()
        assert 1 <= value["uniqueUserCount"] <= value["totalSqlQueries"]
        queries[urn][moment] = value["totalSqlQueries"]
    assert 30 < len(queries) < 70
    assert not any("kafka" in urn for urn in queries)
    for days in queries.values():
        weekend = [count for when, count in days.items() if when.weekday() >= 5]
        week = [count for when, count in days.items() if when.weekday() < 5]
        assert sum(weekend) / 2 < sum(week) / 5


def test_statements_are_recorded_and_common_on_the_days_that_they_ran(shop: Sample) -> None:
    recorded = {value["statement"]["value"]: urn for urn, value in _values(shop, "queryProperties")}
    subjects = {
        urn: {subject["entity"] for subject in value["subjects"]}
        for urn, value in _values(shop, "querySubjects")
    }
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for urn, value in _values(shop, "datasetUsageStatistics"):
        for statement in value.get("topSqlQueries", ()):
            assert urn in subjects[recorded[statement]]
            seen[urn][statement] += 1
    assert len(recorded) >= 15
    assert len(seen) >= 20
    assert max(max(days.values()) for days in seen.values()) > 20


def test_keys_refer_to_tables_that_have_them(shop: Sample) -> None:
    schemas = dict(_values(shop, "schemaMetadata"))
    keyed = {urn for urn, schema in schemas.items() if schema.get("primaryKeys")}
    referred = [key for schema in schemas.values() for key in schema.get("foreignKeys", ())]
    assert len(keyed) > 10
    assert len(referred) > 15
    for key in referred:
        assert key["foreignDataset"] in keyed
        (column,) = key["foreignFields"]
        name = column.removesuffix(")").rpartition(",")[2]
        assert schemas[key["foreignDataset"]]["primaryKeys"] == [name]


def test_nothing_is_loaded_while_a_load_is_late(shop: Sample) -> None:
    loads: dict[str, list[datetime]] = defaultdict(list)
    for urn, value in _values(shop, "operation"):
        loads[urn].append(datetime.fromtimestamp(value["lastUpdatedTimestamp"] / 1000, UTC))
    late = [label for label in shop.labels if label.kind is FaultKind.LATE]
    for label in late:
        meanwhile = [when for when in loads[label.urn] if label.start < when < label.end]
        # Times are whole milliseconds in the record.
        assert all(label.end - when < timedelta(milliseconds=1) for when in meanwhile), label
        assert label.end - label.start > timedelta(hours=7)
    assert len(late) >= 4


def test_a_short_history_has_only_the_recent_faults() -> None:
    assert len(sample.generate(end=END, days=10).labels) == 2


@pytest.mark.parametrize(
    ("end", "days", "message"),
    [(END, 0, "days is 0"), (datetime(2026, 1, 1), 3, "time zone")],
)
def test_what_cannot_be_generated_is_refused(end: date, days: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample.generate(end=end, days=days)


def test_the_file_holds_the_records_and_the_labels_stay_out_unless_asked_for(
    tmp_path: Path,
) -> None:
    shop = sample.generate(end=END, days=3)
    sample.write(shop, tmp_path / "shop.json")
    assert json.loads((tmp_path / "shop.json").read_text()) == shop.records
    assert [path.name for path in tmp_path.iterdir()] == ["shop.json"]
    sample.write(shop, tmp_path / "shop.json", tmp_path / "labels.json")
    rows = json.loads((tmp_path / "labels.json").read_text())
    assert [
        Label(
            row["urn"],
            row["metric"],
            FaultKind(row["kind"]),
            datetime.fromisoformat(row["start"]),
            datetime.fromisoformat(row["end"]),
            row["field"],
        )
        for row in rows
    ] == list(shop.labels)

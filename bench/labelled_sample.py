"""Scores the detector on the bookshop's labelled faults, beside Prophet's interval and a z-score.

What is replayed: a scan a day at 08:00 UTC over half a year, with the code of the live scan. Row
counts are judged once for the whole history, as each point is judged from its past alone; a scan
sees the newest profile of its moment. Freshness is judged at each scan's own moment. Alerts open
and end by `dataspoke.quality.alerts.transition`, for the peers too, who are given the same points.

How alerts meet labels, strictly: an alert hits a label of the same dataset and metric where what
it was raised about was observed between the label's start and its end, or until one scan interval
(24 hours) later. A label that is hit at least once is detected, and counts once; further alerts
inside it are neither right nor wrong, and appear as alerts per cause. The sample retires some
tables, which are never loaded again: a freshness alert after the last load of such a table is
neither right nor wrong either, and counted apart. Every other alert is false, also where another
metric of the dataset is at fault just then.

    precision = detected labels / (detected labels + false alerts)
    recall    = detected labels / labels

That is of row counts and freshness, each by itself, for all three. Then DataSpoke alone is measured
as people meet it: every series of a dataset is watched (columns, sizes, queries and all), at the
rates that the budget gives so many, and an alert that another one on the dataset explains
(`dataspoke.quality.alerts.explain`) is not told. There labels of null shares count too, and an
alert hits a label of its dataset whatever metric it is about: a load that breaks off may be told of
by its size. Late arrival and the query count raise no alerts of their own.
"""

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import machine
from dataspoke.catalogue import ColumnProfile, Operation, Profile, Usage
from dataspoke.localhub.sample import FaultKind, Label, generate
from dataspoke.quality.alerts import explain, transition
from dataspoke.quality.detectors import (
    DEFAULT_BUDGET,
    WARM_UP_POINTS,
    WATCHES,
    cadence,
    judge,
    judge_freshness,
    rates,
)
from dataspoke.quality.metrics import series_of
from dataspoke.quality.model import Alert, AlertState, Check, Judgement, Metric, Point, Status

Floats = NDArray[np.float64]

END = date(2026, 11, 24)
DAYS = 180
SEEDS = (20261124, 1, 2)
SCAN_AT = timedelta(hours=8)
TOLERANCE = timedelta(days=1)
FORTNIGHTS = DAYS / 14
# One false alarm per dataset and fortnight, of row counts and freshness once a day.
RATE = DEFAULT_BUDGET.rate([timedelta(days=1)] * 2)

_PROPHET_INTERVAL = 0.99
_PROPHET_REFIT_POINTS = 7
_Z = 3.0
_Z_POINTS = 28


@dataclass(frozen=True, slots=True)
class History:
    """What the hub was told of one dataset."""

    urn: str
    profiles: list[Profile]
    operations: list[Operation]
    usage: list[Usage]


@dataclass(slots=True)
class Tally:
    """How the alerts of a detector met the labels of one metric."""

    labels: Counter[FaultKind] = field(default_factory=Counter)
    detected: Counter[FaultKind] = field(default_factory=Counter)
    inside: int = 0
    retired: int = 0
    false: int = 0

    def __iadd__(self, other: "Tally") -> "Tally":
        self.labels += other.labels
        self.detected += other.detected
        self.inside += other.inside
        self.retired += other.retired
        self.false += other.false
        return self

    @property
    def precision(self) -> float:
        right = self.detected.total()
        return right / (right + self.false) if right + self.false else float("nan")

    @property
    def recall(self) -> float:
        return self.detected.total() / self.labels.total() if self.labels else float("nan")

    @property
    def f1(self) -> float:
        both = 2 * self.detected.total()
        if not both:
            return float("nan")
        return both / (both + self.false + self.labels.total() - self.detected.total())

    @property
    def alerts_per_cause(self) -> float:
        return self.inside / self.detected.total() if self.detected else float("nan")


def histories(records: Sequence[Mapping[str, Any]]) -> list[History]:
    """Return each dataset that has operations or profiles, in the order of the sample."""
    profiles: dict[str, list[Profile]] = defaultdict(list)
    operations: dict[str, list[Operation]] = defaultdict(list)
    usage: dict[str, list[Usage]] = defaultdict(list)
    for record in records:
        value = record["aspect"]["json"]
        if record["aspectName"] == "datasetProfile":
            time_of = _moment(value["timestampMillis"])
            profiles[record["entityUrn"]].append(_profile(time_of, value))
        elif record["aspectName"] == "operation":
            updated = _moment(value["lastUpdatedTimestamp"])
            operations[record["entityUrn"]].append(Operation(updated, value["operationType"]))
        elif record["aspectName"] == "datasetUsageStatistics":
            day = Usage(_moment(value["timestampMillis"]), value.get("totalSqlQueries"))
            usage[record["entityUrn"]].append(day)
    urns = dict.fromkeys([*profiles, *operations])
    return [History(urn, profiles[urn], operations[urn], usage[urn]) for urn in urns]


def _profile(time_of: datetime, value: Mapping[str, Any]) -> Profile:
    columns = tuple(
        ColumnProfile(
            column["fieldPath"],
            null_share=column.get("nullProportion"),
            unique_share=column.get("uniqueProportion"),
            min=_number(column.get("min")),
            max=_number(column.get("max")),
            mean=_number(column.get("mean")),
            stdev=_number(column.get("stdev")),
        )
        for column in value.get("fieldProfiles", ())
    )
    return Profile(
        time_of,
        value["rowCount"],
        value.get("columnCount"),
        value.get("sizeInBytes"),
        columns,
    )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _retired_at(history: History, end: datetime) -> dict[Metric, datetime]:
    # A table in use is profiled on the last day, however late its load is.
    if not history.operations or not history.profiles:
        return {}
    if history.profiles[-1].time > end - timedelta(days=2):
        return {}
    return {Metric.FRESHNESS: history.operations[-1].time}


def scan_times() -> list[datetime]:
    """Return the moments of all scans, in order."""
    first = datetime(END.year, END.month, END.day, tzinfo=UTC) - timedelta(days=DAYS - 1)
    return [first + SCAN_AT + timedelta(days=day) for day in range(DAYS)]


def observed(history: History, scans: Sequence[datetime]) -> dict[Metric, list[Point]]:
    """Return the points that the scans judge, in order.

    A scan that sees no new profile judges no row count: it changes no alert.
    """
    counts = [Point(p.time, float(p.row_count or 0)) for p in history.profiles]
    ages = [j.point for j in judge_freshness(history.operations, scans, rate=1.0)]
    return {
        Metric.ROW_COUNT: [point for point in counts if point.time <= scans[-1]],
        Metric.FRESHNESS: ages,
    }


def dataspoke(history: History, metric: Metric, scans: Sequence[datetime]) -> list[Judgement]:
    if metric is Metric.FRESHNESS:
        return judge_freshness(history.operations, scans, RATE)
    counts = [Point(p.time, float(p.row_count or 0)) for p in history.profiles]
    return judge([point for point in counts if point.time <= scans[-1]], WATCHES[metric], rate=RATE)


def prophet_interval(points: Sequence[Point], metric: Metric) -> list[Judgement]:
    """Prophet as its documentation uses it: refitted weekly to the whole past, 99 % interval."""
    import pandas as pd
    from prophet import Prophet

    times = pd.to_datetime([p.time.replace(tzinfo=None) for p in points])
    frame = pd.DataFrame({"ds": times, "y": [p.value for p in points]})
    judged = [_warming_up(point) for point in points[:WARM_UP_POINTS]]
    for begin in range(WARM_UP_POINTS, len(points), _PROPHET_REFIT_POINTS):
        model = Prophet(
            interval_width=_PROPHET_INTERVAL, daily_seasonality=False, uncertainty_samples=300
        )
        np.random.seed(0)  # Prophet draws from numpy's global generator
        model.fit(frame[:begin], algorithm="LBFGS")
        later = slice(begin, begin + _PROPHET_REFIT_POINTS)
        said = model.predict(frame[later][["ds"]])
        spans = zip(said["yhat"], said["yhat_lower"], said["yhat_upper"], strict=True)
        judged += [_judged(p, metric, *s) for p, s in zip(points[later], spans, strict=True)]
    return judged


def rolling_z(points: Sequence[Point], metric: Metric) -> list[Judgement]:
    """Three standard deviations around the mean of the 28 points before."""
    values = np.array([p.value for p in points])
    judged = [_warming_up(point) for point in points[:WARM_UP_POINTS]]
    for index in range(WARM_UP_POINTS, len(points)):
        past = values[index - _Z_POINTS : index]
        mean, reach = float(np.mean(past)), _Z * float(np.std(past))
        judged.append(_judged(points[index], metric, mean, mean - reach, mean + reach))
    return judged


def _warming_up(point: Point) -> Judgement:
    return Judgement(point, Status.WARMING_UP, "peer")


def _judged(point: Point, metric: Metric, expected: float, low: float, high: float) -> Judgement:
    # No peer is charged for data that came early.
    low = -np.inf if metric is Metric.FRESHNESS else low
    status = Status.PASS if low <= point.value <= high else Status.FAIL
    return Judgement(point, status, "peer", expected, low, high, 1.0)


def alerts(urn: str, metric: Metric, judged: Sequence[Judgement]) -> list[Alert]:
    """Return the alerts that scans over these judgements would have raised, one scan for each."""
    raised: list[Alert] = []
    active: Alert | None = None
    for judgement in judged:
        moved = transition(active, urn, Check(metric), judgement, None, judgement.point.time)
        if moved is None:
            continue
        if moved.state is AlertState.RESOLVED:
            active = None
        else:
            active = moved
            raised.append(moved)
    return raised


def tally(
    raised: Sequence[Alert], labels: Sequence[Label], retired_at: datetime | None = None
) -> Tally:
    """Return how alerts met labels, both of one dataset and metric, by the rule of this module.

    ``retired_at`` is the last load of a table that is out of use.
    """
    counted = Tally(labels=Counter(label.kind for label in labels))
    hit: set[Label] = set()
    for alert in raised:
        met = [x for x in labels if x.start <= alert.observed_at <= x.end + TOLERANCE]
        hit.update(met[:1])
        if met:
            counted.inside += 1
        elif retired_at is not None and alert.observed_at > retired_at:
            counted.retired += 1
        else:
            counted.false += 1
    counted.detected = Counter(label.kind for label in hit)
    return counted


def told(history: History, scans: Sequence[datetime]) -> tuple[list[Alert], list[Alert]]:
    """Return the alerts of all series of a dataset, and those of them that people are told of."""
    found = series_of(history.profiles, history.operations, history.usage, scans[-1])
    for metric in (Metric.LATE_ARRIVAL, Metric.QUERY_COUNT):
        found.pop(Check(metric), None)
    shared = rates(DEFAULT_BUDGET, {check: cadence(series) for check, series in found.items()})
    lives: list[tuple[Alert, datetime]] = []
    for check, series in found.items():
        assert check.metric is not None  # noqa: S101  series are of metrics
        if check.metric is Metric.FRESHNESS:
            judged = judge_freshness(history.operations, scans, shared[check])
        else:
            judged = judge(series.points, WATCHES[check.metric], rate=shared[check])
        lives += _lives(history.urn, check, judged)
    explained = {
        alert.id
        for alert, _ in lives
        if explain(
            # What was active when this one opened.
            [other for other, end in lives if other.observed_at <= alert.observed_at <= end],
            {},
        )[alert.id]
    }
    everything = [alert for alert, _ in lives]
    return everything, [alert for alert in everything if alert.id not in explained]


def _lives(urn: str, check: Check, judged: Sequence[Judgement]) -> list[tuple[Alert, datetime]]:
    """Return each alert of a check with the time of its end; one that comes back is the same."""
    latest: Alert | None = None
    ends: dict[UUID, datetime] = {}
    first: dict[UUID, Alert] = {}
    for judgement in judged:
        now = judgement.point.time
        moved = transition(latest, urn, check, judgement, None, now)
        latest = moved or latest
        if latest is not None:
            first.setdefault(latest.id, latest)
            if latest.active or moved is not None:
                ends[latest.id] = now
    return [(alert, ends[alert.id]) for alert in first.values()]


DETECTORS = ("DataSpoke", "Prophet, 99 % interval", "rolling z, 3 σ")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One dataset under every detector: tallies and seconds."""

    tallies: dict[tuple[str, Metric], Tally]
    told: Tally
    ungrouped: Tally
    series: int
    seconds: dict[str, float]
    peak_memory_mb: float


def measure(labels: Mapping[str, Sequence[Label]], history: History) -> Outcome:
    """Return how each detector did on one dataset."""
    scans = scan_times()
    seen = observed(history, scans)
    retired = _retired_at(history, scans[-1])
    tallies: dict[tuple[str, Metric], Tally] = {}
    seconds = dict.fromkeys(DETECTORS, 0.0)
    for metric, points in seen.items():
        if not points:
            continue
        of_metric = [x for x in labels.get(history.urn, ()) if x.metric == metric.value]
        runs: dict[str, Callable[[], list[Judgement]]] = {
            DETECTORS[0]: partial(dataspoke, history, metric, scans),
            DETECTORS[1]: partial(prophet_interval, points, metric),
            DETECTORS[2]: partial(rolling_z, points, metric),
        }
        for name, run in runs.items():
            began = time.perf_counter()
            judged = run()
            seconds[name] += time.perf_counter() - began
            raised = alerts(history.urn, metric, judged)
            tallies[name, metric] = tally(raised, of_metric, retired.get(metric))
    of_dataset = labels.get(history.urn, ())
    everything, grouped = told(history, scans)
    after = next(iter(retired.values()), None)
    return Outcome(
        tallies,
        tally(grouped, of_dataset, after),
        tally(everything, of_dataset, after),
        len(series_of(history.profiles, history.operations, history.usage, scans[-1])),
        seconds,
        machine.peak_memory_mb(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.labelled_sample",
        description="Scores the detector on the generated sample's labelled faults.",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="one sample for each")
    seeds = parser.parse_args(arguments).seeds
    console = Console()

    work: list[tuple[dict[str, list[Label]], History]] = []
    for seed in seeds:
        sample = generate(end=END, days=DAYS, seed=seed)
        labels: dict[str, list[Label]] = defaultdict(list)
        for label in sample.labels:
            labels[label.urn].append(label)
        work += [(dict(labels), history) for history in histories(sample.records)]

    with ProcessPoolExecutor() as pool:
        done = pool.map(measure, *zip(*work, strict=True), chunksize=4)
        outcomes = list(track(done, "Replaying", total=len(work), console=console, transient=True))
    _report(console, outcomes, len(seeds))
    return 0


def _report(console: Console, outcomes: Sequence[Outcome], samples: int) -> None:
    whole: dict[tuple[str, Metric | None], Tally] = defaultdict(Tally)
    for outcome in outcomes:
        for (name, metric), counted in outcome.tallies.items():
            whole[name, metric] += counted
            whole[name, None] += counted
    datasets = len(outcomes)
    table = Table(
        title=f"Bookshop: {samples} samples, {datasets} datasets, {DAYS} days, a scan a day",
        title_justify="left",
    )
    table.add_column("")
    for name in DETECTORS:
        table.add_column(name, justify="right")
    for metric in (None, Metric.ROW_COUNT, Metric.FRESHNESS):
        rows: list[tuple[str, Callable[[Tally], str]]] = [
            ("precision", lambda t: f"{t.precision:.3f}"),
            ("recall", lambda t: f"{t.recall:.3f}"),
            ("F1", lambda t: f"{t.f1:.3f}"),
        ]
        kinds = sorted({kind for name in DETECTORS for kind in whole[name, metric].labels})
        if metric is not None:
            rows += [(f"  {kind} detected", partial(_of_kind, kind)) for kind in kinds]
        rows += [
            ("false alerts", lambda t: f"{t.false}"),
            ("alerts on retired tables", lambda t: f"{t.retired}"),
            ("alerts per cause", lambda t: f"{t.alerts_per_cause:.2f}"),
        ]
        if metric is None:
            per = datasets * FORTNIGHTS
            rows.append(("false alerts per dataset and fortnight", partial(_false_rate, per)))
        table.add_section()
        table.add_row(f"[bold]{metric or 'all metrics'}[/bold]", *("" for _ in DETECTORS))
        for title, shown in rows:
            table.add_row(title, *(shown(whole[name, metric]) for name in DETECTORS))
    table.add_section()
    table.add_row(
        "seconds per dataset, whole history",
        *(f"{sum(o.seconds[name] for o in outcomes) / datasets:.4f}" for name in DETECTORS),
    )
    console.print(table)
    _report_told(console, outcomes)
    peak_mb = max(outcome.peak_memory_mb for outcome in outcomes)
    console.print(f"Peak memory of a process {peak_mb:,.0f} MiB.")
    console.print(machine.described("numpy", "prophet", "scipy"), style="dim")


def _report_told(console: Console, outcomes: Sequence[Outcome]) -> None:
    grouped, ungrouped = Tally(), Tally()
    for outcome in outcomes:
        grouped += outcome.told
        ungrouped += outcome.ungrouped
    table = Table(
        title=f"DataSpoke with all {sum(o.series for o in outcomes):,} series, alerts grouped",
        title_justify="left",
    )
    table.add_column("")
    table.add_column("told", justify="right")
    table.add_column("before grouping", justify="right")
    both = (grouped, ungrouped)
    table.add_row("precision", *(f"{t.precision:.3f}" for t in both))
    table.add_row("recall", *(f"{t.recall:.3f}" for t in both))
    for kind in sorted(grouped.labels):
        table.add_row(f"  {kind} detected", *(_of_kind(kind, t) for t in both))
    table.add_row("false alerts", *(f"{t.false}" for t in both))
    table.add_row("alerts on retired tables", *(f"{t.retired}" for t in both))
    table.add_row("alerts per cause", *(f"{t.alerts_per_cause:.2f}" for t in both))
    per = len(outcomes) * FORTNIGHTS
    title = "false alerts per dataset and fortnight"
    table.add_row(title, *(_false_rate(per, t) for t in both))
    console.print(table)


def _of_kind(kind: FaultKind, counted: Tally) -> str:
    return f"{counted.detected[kind]} of {counted.labels[kind]}"


def _false_rate(dataset_fortnights: float, counted: Tally) -> str:
    return f"{counted.false / dataset_fortnights:.4f}"


if __name__ == "__main__":
    sys.exit(main())

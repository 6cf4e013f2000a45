"""``dataspoke backtest``: what a monitor would have alerted on."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dataspoke.errors import InvalidInput
from dataspoke.quality.model import Check, Metric, Point
from dataspoke.settings import Settings
from dataspoke.urns import dataset_name

if TYPE_CHECKING:
    from dataspoke.quality.backtest import Backtest, WouldBeAlert

# A table of three hundred columns takes minutes.
_COMPUTING = timedelta(minutes=30)


def backtest(
    urn: Annotated[str, typer.Argument(help="The dataset, as its DataHub urn.")],
    metric: Annotated[Metric | None, typer.Option(help="Only this metric.")] = None,
    column: Annotated[str | None, typer.Option(help="The column that the metric is of.")] = None,
    days: Annotated[int, typer.Option(help="How many days up to now, 1 to 730.")] = 90,
    budget: Annotated[
        float | None, typer.Option(help="False alarms put up with in two weeks, up to 14.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it as PNG, a panel for each check.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Show what scans of a dataset would have alerted on, by the rules in force now.

    Reads the history from DataHub (DATASPOKE_HUB__URL), and from DataSpoke's own database how the
    dataset is watched and what people said of its alerts. Saves nothing and alerts nobody.
    """
    if column is not None and metric is None:
        raise InvalidInput("--column needs --metric: name the column's metric.")
    check = None if metric is None else Check(metric, column)
    found = asyncio.run(_replay(urn, check, days, budget))
    if as_json:
        typer.echo(json.dumps(_as_json(found), indent=2, ensure_ascii=False))
    else:
        _print(found)
    if plot is not None:
        _draw(plot, found)


async def _replay(urn: str, check: Check | None, days: int, budget: float | None) -> "Backtest":
    from dataspoke.runtime import open_runtime

    async with open_runtime(Settings()) as runtime:
        return await runtime.backtests.replay(urn, check, days, budget, _COMPUTING)


def _print(found: "Backtest") -> None:
    name = dataset_name(found.urn)
    if not found.checks:
        typer.echo(f"The hub has no observation of {name} to be judged.")
        return
    console = Console()
    table = Table("check", "judged", "out of range", "alerts", "a month", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for one in found.checks:
        share = f" ({one.failed / one.judged:.1%})" if one.judged else ""
        table.add_row(
            one.check.key,
            f"{one.judged:,}",
            f"{one.failed:,}{share}",
            f"{len(one.alerts):,}",
            _frequency(one.alerts_per_month),
        )
    console.print(table)
    alerts = sorted(
        (alert for one in found.checks for alert in one.alerts), key=lambda a: a.alert.opened_at
    )
    if alerts:
        console.print()
        listed = Table("opened", "ended", "alert", box=None, pad_edge=False)
        for one_alert in alerts:
            alert = one_alert.alert
            ended = "still open" if alert.ended_at is None else f"{alert.ended_at:%F %H:%M}"
            listed.add_row(f"{alert.opened_at:%F %H:%M}", ended, alert.message)
        console.print(listed)
    silenced = sum(len(one.silenced) for one in found.checks)
    added = sum(len(one.added) for one in found.checks)
    if silenced or added:
        typer.echo(f"Feedback has silenced {silenced:,} alerts and added {added:,}.")
    typer.echo(
        f"{name}, {found.since:%F} to {found.until:%F}: "
        f"{len(alerts):,} alerts, {_frequency(found.alerts_per_month)} a month."
    )


def _frequency(per_month: float | None) -> str:
    return "–" if per_month is None else f"{per_month:.1f}"


def _as_json(found: "Backtest") -> dict[str, Any]:
    return {
        "urn": found.urn,
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "alertsPerMonth": found.alerts_per_month,
        "checks": [
            {
                "check": one.check.key,
                "judged": one.judged,
                "outOfRange": one.failed,
                "alertsPerMonth": one.alerts_per_month,
                "alerts": [_alert_as_json(alert) for alert in one.alerts],
                "silencedByFeedback": [_alert_as_json(alert) for alert in one.silenced],
                "addedByFeedback": [_alert_as_json(alert) for alert in one.added],
            }
            for one in found.checks
        ],
    }


def _alert_as_json(would_be: "WouldBeAlert") -> dict[str, Any]:
    alert, peak = would_be.alert, would_be.peak
    return {
        "message": alert.message,
        "openedAt": alert.opened_at.isoformat(),
        "endedAt": _iso(alert.ended_at),
        "reopened": alert.reopened,
        "value": alert.value,
        "expected": alert.expected,
        "low": alert.low,
        "high": alert.high,
        "score": alert.score,
        "peak": {"time": peak.point.time.isoformat(), "value": peak.point.value},
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _draw(path: Path, found: "Backtest") -> None:
    # Late, for numpy takes a while that --help need not.
    from dataspoke.cli.plots import Panel, draw

    panels = [
        Panel(
            title=f"{dataset_name(found.urn)}: {one.check.key}{_unit(one.check)}",
            judged=one.judgements,
            alerts=[Point(a.alert.observed_at, a.alert.value) for a in one.alerts],
        )
        for one in found.checks
    ]
    if panels:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(path, panels)
        typer.echo(f"Drawn in {path}.", err=True)


def _unit(check: Check) -> str:
    from dataspoke.quality.metrics import UNITS

    unit = None if check.metric is None else UNITS[check.metric]
    return "" if unit is None else f" ({unit})"

"""Judging a whole series: a monitor that is fed from the start."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from dataspoke.quality.detectors.exclusions import NOTHING_EXCLUDED, Exclusions
from dataspoke.quality.detectors.monitor import FALSE_ALARM_RATE, NO_FEEDBACK, SeriesMonitor
from dataspoke.quality.detectors.watches import Watch
from dataspoke.quality.model import FeedbackKind, Judgement, Point


def judge(
    points: Sequence[Point],
    watch: Watch,
    *,
    start: int = 0,
    rate: float = FALSE_ALARM_RATE,
    season_times: Sequence[datetime] | None = None,
    probes: Collection[int] = (),
    exclusions: Exclusions = NOTHING_EXCLUDED,
    feedback: Mapping[datetime, FeedbackKind] = NO_FEEDBACK,
) -> list[Judgement]:
    """Return a judgement for each of ``points[start:]``, in order, each from its past alone.

    How is told by ``SeriesMonitor``, which it is from the first point on. ``season_times`` are the
    times that decide the season, the points' own by default. Points at the positions ``probes``
    are judged and are no part of any other point's past.
    """
    monitor = SeriesMonitor(watch, rate, exclusions=exclusions, feedback=feedback)
    times = season_times if season_times is not None else [p.time for p in points]
    judged = []
    for index, (point, time) in enumerate(zip(points, times, strict=True)):
        if index < start:
            if index not in probes:
                monitor.learn(point, time)
        elif index in probes:
            judged.append(monitor.probe(point, time))
        else:
            judged.append(monitor.observe(point, time))
    return judged

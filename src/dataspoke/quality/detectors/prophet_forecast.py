"""Prophet (Taylor and Letham, *Forecasting at Scale*, 2018): fitted rarely, kept as numbers."""

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DAY_S = 86_400.0
_TWO_YEARS_S = 2 * 365 * _DAY_S


@dataclass(frozen=True, slots=True)
class Forecast:
    """What Prophet expects after its past: a line, and Fourier series of the week and the year.

    ``seasons`` holds for each its period in days and the factors of sin and cos, in turn, of the
    first harmonic, the second, and so on.
    """

    origin_s: float
    level: float
    slope: float
    seasons: tuple[tuple[float, tuple[float, ...]], ...]

    def at(self, time_s: float) -> float:
        value = self.level + self.slope * (time_s - self.origin_s) / _DAY_S
        for period, factors in self.seasons:
            turn = 2 * math.pi * (time_s / _DAY_S) / period
            for i in range(0, len(factors), 2):
                harmonic = turn * (i // 2 + 1)
                value += factors[i] * math.sin(harmonic) + factors[i + 1] * math.cos(harmonic)
        return value

    def state(self) -> dict[str, Any]:
        """Return what ``restored`` wants."""
        return {
            "origin_s": self.origin_s,
            "level": self.level,
            "slope": self.slope,
            "seasons": [[period, list(factors)] for period, factors in self.seasons],
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Forecast":
        seasons = tuple((period, tuple(factors)) for period, factors in state["seasons"])
        return cls(state["origin_s"], state["level"], state["slope"], seasons)


def fit(times_s: Floats, values: Floats) -> tuple[Forecast, Floats]:
    """Return what Prophet, fitted to this past, expects later, and of the past itself."""
    # Late, for the import takes more than a second.
    logging.getLogger("prophet.plot").disabled = True  # it complains that plotly is missing
    import pandas as pd
    from prophet import Prophet

    # Two lines a fit; importing it sets its level, so that this must come after.
    logging.getLogger("cmdstanpy").disabled = True

    model = Prophet(
        daily_seasonality=False,
        weekly_seasonality=True,
        yearly_seasonality=bool(times_s[-1] - times_s[0] >= _TWO_YEARS_S),
        uncertainty_samples=0,
    )
    past = pd.DataFrame({"ds": pd.to_datetime(times_s, unit="s"), "y": values})
    # Below a hundred points the default is an optimiser ten times slower.
    model.fit(past, algorithm="LBFGS")
    # Behind the last change of trend it is a line, which two points give.
    last_s = float(times_s[-1])
    ahead = pd.to_datetime(np.array([last_s, last_s + _DAY_S]), unit="s")
    trend = model.predict(pd.DataFrame({"ds": ahead}))["trend"].to_numpy(dtype=np.float64)
    factors = (np.asarray(model.params["beta"])[0] * model.y_scale).tolist()
    seasons = []
    for season in model.seasonalities.values():
        size = 2 * int(season["fourier_order"])
        seasons.append((float(season["period"]), tuple(factors[:size])))
        factors = factors[size:]
    forecast = Forecast(last_s, float(trend[0]), float(trend[1] - trend[0]), tuple(seasons))
    expected = model.predict(past[["ds"]])["yhat"].to_numpy(dtype=np.float64)
    return forecast, expected

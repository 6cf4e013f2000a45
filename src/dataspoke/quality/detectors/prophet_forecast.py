"""Prophet (Taylor and Letham, *Forecasting at Scale*, 2018), quiet and quick."""

import logging

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TWO_YEARS_S = 2 * 365 * 86_400


def forecast(times_s: Floats, values: Floats, later_s: Floats) -> tuple[Floats, Floats]:
    """Return what Prophet, fitted to this past, expects at its own times and at later ones."""
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
    everywhere = pd.to_datetime(np.concatenate([times_s, later_s]), unit="s")
    expected = model.predict(pd.DataFrame({"ds": everywhere}))["yhat"].to_numpy(dtype=np.float64)
    return expected[: len(times_s)], expected[len(times_s) :]

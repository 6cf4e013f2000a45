"""Times at which a series is neither judged nor learned from."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataspoke.errors import InvalidInput
from dataspoke.quality.model import Window

if TYPE_CHECKING:
    from holidays import HolidayBase


class Exclusions:
    """Windows of time, and the public holidays of a country (ISO 3166, two letters), UTC days.

    Holidays are windows and no season of their own: ten days a year, each unlike the other, are
    too few to learn from, and what a Sunday does tells little of them where a shop sells the more
    on one and closes on the next.

    Raises InvalidInput for a country whose holidays are not known.
    """

    def __init__(self, windows: Sequence[Window] = (), country: str | None = None) -> None:
        self._windows = tuple(windows)
        self._holidays: HolidayBase | None = None
        if country is not None:
            # Late: few ask for it.
            import holidays

            try:
                self._holidays = holidays.country_holidays(country)
            except NotImplementedError:
                raise InvalidInput(
                    f"The holidays of {country!r} are not known; give a country's two letters."
                ) from None

    def cover(self, time: datetime) -> bool:
        """Tell whether this time is excluded."""
        if any(window.start <= time < window.end for window in self._windows):
            return True
        return self._holidays is not None and time.astimezone(UTC).date() in self._holidays


NOTHING_EXCLUDED = Exclusions()

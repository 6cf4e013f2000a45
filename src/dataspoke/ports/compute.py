from collections.abc import Callable
from datetime import timedelta
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Compute(Protocol):
    """Runs CPU work outside the event loop, where it can be stopped."""

    async def run(
        self, timeout: timedelta, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return ``function(*args, **kwargs)``, computed in a process of its own.

        Function, arguments and result must pickle. Raises DependencyTimeout where it runs longer
        than ``timeout``, and DependencyUnavailable where its process dies; no process goes on with
        it then, nor after a cancellation. What the function raises is raised here.
        """
        ...

"""One demo for all end-to-end tests: every process, started as a user starts it."""

from collections.abc import Iterator

import pytest

from tests.support.demo import Demo, running_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The bookshop, judged."""
    with running_demo(tmp_path_factory.mktemp("demo")) as started:
        yield started

"""What the wheel would hold, held against the disk."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_on_disk_is_listed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = set()
    for package, folder in setuptools["package-dir"].items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join((package, *inner)))
    assert found == set(setuptools["packages"])


def test_the_lock_names_no_address_to_download_from() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()
    assert "://" not in "".join(
        line
        for line in (ROOT / "gateway" / "package-lock.json").read_text().splitlines()
        if '"resolved"' in line
    )

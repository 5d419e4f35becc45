"""How a child process of our own Python is started: never with the working directory on its import path."""

import os
import sys
from collections.abc import Mapping


def python_command(module: str, *arguments: str) -> list[str]:
    """Return `python -P -m MODULE ARGUMENTS`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return `base` with this process's import path; children of the child leave the working directory out as well."""
    return {**base, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

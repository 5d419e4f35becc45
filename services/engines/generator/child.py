"""How a child process of our own Python is started: it imports from where this process does, and from nowhere else."""

import os
import sys


def python_command(module: str, *arguments: str) -> list[str]:
    """`python -P -m MODULE ARGUMENTS`: the working directory is not on its import path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """This process's environment; children of the child leave the working directory out as well."""
    return os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

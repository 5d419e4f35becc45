"""How many CPUs this process may use, of those that the machine has."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """CPUs of its affinity, or of the tightest cgroup quota (`docker run --cpus 2`), rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(math.ceil, _quotas(cgroups, membership))]))


def _quotas(cgroups: Path, membership: Path) -> Iterator[float]:
    """Of its cgroup and those above, in CPUs. A container sees its own as the root; version 1 has a tree for cpu."""
    lines = membership.read_text().splitlines() if membership.is_file() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        tree = cgroups / controllers
        own = tree / path.strip("/")
        for group in [own, *own.parents][: len(own.relative_to(tree).parts) + 1]:
            if quota := _quota(group):
                yield quota


def _quota(group: Path) -> float | None:
    """limit / period; None where there is no limit."""
    if (group / "cpu.max").is_file():
        said = (group / "cpu.max").read_text().split()
    elif (group / "cpu.cfs_quota_us").is_file():
        said = [(group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")]
    else:
        return None
    return None if said[0] == "max" or int(said[0]) < 0 else int(said[0]) / int(said[1])

"""Cores under the quotas that containers set."""

import os

import pytest

from services.cores import cores

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, ALL),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1),
        ("3:memory:/\n2:cpu,cpuacct:/x\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "100000\n"}, 1),
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n"}, ALL),
        ("0::/gone\n", {}, ALL),
    ],
)
def test_the_tightest_quota_counts(tmp_path, membership, files, expected):
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        if name.endswith("quota_us"):
            (tmp_path / name).with_name("cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path, tmp_path / "membership") == expected


def test_without_cgroups_it_is_the_affinity(tmp_path):
    assert cores(tmp_path, tmp_path / "none") == ALL

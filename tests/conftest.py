"""What holds for all tests: a marker by folder, and who may run them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Here, for one lab serves all folders that want one.
from tests.lab.fixtures import appliance, lab, pytest_runtest_makereport, whole_appliance, whole_lab

__all__ = ["appliance", "lab", "pytest_runtest_makereport", "whole_appliance", "whole_lab"]

HERE = Path(__file__).parent
_NEEDS_ROOT = {"netns", "lab", "browser", "image", "soak"}
_KINDS = {
    "unit": "pure functions and tables",
    "bus": "the D-Bus contracts on a private bus",
    "netns": "real programs in network namespaces; needs root",
    "lab": "the installed packages in the lab's machines; needs root",
    "browser": "the page in a real browser, some in the lab; needs root",
    "image": "a device in QEMU, its adapters plugged in and out; needs root",
    "soak": "what takes hours; needs root",
    "bench": "measurements",
}

# How fast examples come and pass is a matter of what else the machine does: of that nothing may fail.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folders' names known as markers: `-m 'not lab'`."""
    for kind, text in _KINDS.items():
        config.addinivalue_line("markers", f"{kind}: {text}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its folder's name; without root, say so rather than leave tests out."""
    for item in items:
        kind = item.path.relative_to(HERE).parts[0]
        if kind in _KINDS:
            item.add_marker(kind)
        if kind in _NEEDS_ROOT and os.geteuid() != 0:
            raise pytest.UsageError(f"the tests in tests/{kind} need root: 'sudo make test'")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """One that every user of this machine gets into; those of tmp_path are shut to all others."""
    with tempfile.TemporaryDirectory(prefix="rdv-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory

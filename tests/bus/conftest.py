"""A private bus, found as the system bus; all is allowed on it, for the policy has tests of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_BUS = """<busconfig>
  <type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>"""


@pytest.fixture
def system_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The bus that vtunlib.bus.connect finds."""
    config, path = tmp_path / "bus.conf", tmp_path / "bus"
    config.write_text(_BUS.format(path=path))
    argv = ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}", "--print-address=1"]
    daemon = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert daemon.stdout is not None
    daemon.stdout.readline()  # written when it listens
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
    yield
    daemon.kill()
    daemon.wait(10)
    daemon.stdout.close()

"""A private bus on which all is allowed, for the policy has tests of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BUS = """<busconfig>
  <type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>"""


@contextmanager
def private_bus(directory: Path) -> Iterator[str]:
    """Its address, for DBUS_SYSTEM_BUS_ADDRESS; its files are in the directory."""
    config, path = directory / "bus.conf", directory / "bus"
    config.write_text(_BUS.format(path=path))
    argv = ["dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}", "--print-address=1"]
    daemon = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert daemon.stdout is not None
    daemon.stdout.readline()  # written when it listens
    try:
        yield f"unix:path={path}"
    finally:
        daemon.kill()
        daemon.wait(10)
        daemon.stdout.close()

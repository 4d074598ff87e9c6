"""New packages of ours out of the apt repository that [updates] of tundev.toml names.

apt asks that repository alone and believes that key alone: no other source, key or
preference of this system counts, and it keeps nothing. What is downloaded lies in memory,
and is installed, if at all, as files that a person brought (tundev.appliance.upgrade).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tundev.config import Updates
from tundev.proxy import Proxy
from vtunlib.errors import RdvError
from vtunlib.run import run

MEMORY = Path("/run")
SECONDS = 300.0
"""Of each of apt's two steps; our packages are half a megabyte."""
USER = "_apt"
"""As whom apt fetches, where it may write (apt-secure(8))."""


@contextmanager
def downloaded(
    updates: Updates, names: Sequence[str], proxy: Proxy | None = None, *, memory: Path = MEMORY
) -> Iterator[list[Path]]:
    """The repository's newest file of each package of `names`, there for as long as the block runs.

    Raises RdvError where the repository cannot be reached, is not signed with that key, or has not
    all of them.
    """
    with TemporaryDirectory(prefix="tundev-upgrade.", dir=memory) as name:
        where = Path(name)
        where.chmod(0o755)
        for folder in ("lists/partial", "cache", "state", "debs"):
            (where / folder).mkdir(parents=True)
        with suppress(LookupError):  # else apt fetches as root, which is no worse than not at all
            shutil.chown(where / "debs", USER)
        (where / "key.asc").write_text(updates.key, encoding="ascii")
        (where / "updates.sources").write_text(source(updates, where / "key.asc"), encoding="ascii")
        (where / "status").touch()
        conf = where / "apt.conf"
        conf.touch(mode=0o600)  # the proxy's password is in it
        conf.write_text(configuration(where, proxy), encoding="utf-8")
        apt = ["apt-get", "-c", str(conf), "--quiet=2"]
        try:
            run([*apt, "update"], deadline=SECONDS, reason=first_line)
            run([*apt, "download", *names], deadline=SECONDS, folder=where / "debs", reason=first_line)
        except RdvError as error:
            raise type(error)(f"nothing can be had from {updates.url}: {error.message}", _HINT) from None
        yield sorted((where / "debs").glob("*.deb"))


_HINT = "nothing was changed; is [updates] in tundev.toml right, and this device's clock?"


def source(updates: Updates, key: Path) -> str:
    """The one source, as sources.list(5) has it."""
    lines = ["Types: deb", f"URIs: {updates.url}", f"Suites: {updates.suite or './'}"]
    if updates.suite:
        lines.append(f"Components: {updates.component}")
    return "\n".join([*lines, f"Signed-By: {key}", ""])


def configuration(where: Path, proxy: Proxy | None) -> str:
    """What apt.conf(5) is to say above the system's own.

    The empty list of installed packages has apt choose by the repository alone: else it would hold
    what is here against it.
    """
    way = proxy.url if proxy else "DIRECT"
    options = {
        "Dir::Etc::SourceList": f"{where}/updates.sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Trusted": "/dev/null",
        "Dir::Etc::TrustedParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": f"{where}/state",
        "Dir::State::Lists": f"{where}/lists",
        "Dir::State::status": f"{where}/status",
        "Dir::Cache": f"{where}/cache",
        "Acquire::Languages": "none",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "20",
        "APT::Get::AllowUnauthenticated": "false",
        # A source that fails is a failure, not a warning.
        "APT::Update::Error-Mode": "any",
        "Acquire::http::Proxy": way,
        "Acquire::https::Proxy": way,
    }
    return "".join(f'{key} "{value}";\n' for key, value in options.items())


def first_line(stderr: str) -> str:
    """apt names the cause first, and then what came of it."""
    lines = [line.strip() for line in stderr.splitlines() if line.startswith(("E: ", "W: "))]
    return lines[0][3:] if lines else "it said nothing"

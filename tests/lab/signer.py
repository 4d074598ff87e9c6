"""The administrator who signs packages for the devices: a gpg key, and repositories by image/repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.debian import REPOSITORY
from tests.lab.process import run


class Signer:
    """Somebody with a key for packages, in the folder `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        home.mkdir(mode=0o700)
        self.make_key("packages")

    def make_key(self, name: str) -> None:
        """One more; the first is the one that is signed with."""
        self.gpg("--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")

    def gpg(self, *arguments: str) -> str:
        """What gpg writes to standard output."""
        return run(["gpg", "--homedir", str(self._home), "--batch", "--quiet", *arguments]).out

    def publish(self, dist: Path, folder: Path, url: str) -> str:
        """By the administrator's own command, of the packages in `dist`; [updates] as it prints it."""
        command = dist.parent / "image/repository"
        if not command.exists():
            command.parent.mkdir(exist_ok=True)
            command.symlink_to(REPOSITORY / "image/repository")
        home = [f"GNUPGHOME={self._home}"]
        return run(["env", *home, str(command), str(folder), url]).out


@contextmanager
def signer() -> Iterator[Signer]:
    """gpg's agent is ended with it."""
    # Its socket's path must be short (unix(7): 108 bytes).
    with TemporaryDirectory(prefix="gpg.", dir="/run") as name:
        home = Path(name, "home")
        try:
            yield Signer(home)
        finally:
            run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"])

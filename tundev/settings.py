"""What an agent runs with: the configuration file, under what the command line says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tundev import config, paths
from tundev.config import Config, Server, Transport
from vtunlib import files
from vtunlib.errors import ConfigError
from vtunlib.run import run
from vtunlib.tunnel import UplinkType


@dataclass(frozen=True)
class Settings:
    """uplink_type: reported instead of what is found; time_limit: seconds of each session, 0 for none."""

    config: Config
    interface: str | None = None
    uplink_type: UplinkType | None = None
    time_limit: int = 0

    @property
    def server(self) -> Server:
        """The RDV server."""
        return self.config.rdv.server

    @property
    def account(self) -> str:
        """This device's account on it."""
        return self.config.rdv.account


def load(
    *,
    account: str | None = None,
    server: str | None = None,
    interface: str | None = None,
    uplink_type: str | None = None,
    time_limit: int = 0,
    tls: bool = False,
    path: Path = paths.CONFIG,
) -> Settings:
    """The settings. Raises ConfigError on what cannot be taken."""
    loaded = config.load(path)
    rdv = loaded.rdv
    changes: dict[str, object] = {}
    if tls:
        changes["transport"] = Transport.TLS
    if account:
        changes["account"] = config.parse_account(account)
        if account != rdv.account:
            changes["enrol_key"] = None  # it is the other account's
    if server:
        changes["server"] = config.parse_server(server)
    if changes:
        rdv = config.Rdv(**{**vars(rdv), **changes})
    if uplink_type is not None and uplink_type not in list(UplinkType):
        raise ConfigError(f"uplink {uplink_type!r} is unknown", f"expected {', '.join(UplinkType)}")
    return Settings(
        config.Config(rdv, loaded.onsite, loaded.master),
        config.parse_interface(interface) if interface else None,
        UplinkType(uplink_type) if uplink_type else None,
        time_limit,
    )


def ensure_key(key: Path = paths.KEY) -> None:
    """Make the device's SSH key if there is none. Raises RdvError."""
    if key.exists():
        return
    import pwd

    try:
        owner = pwd.getpwnam(paths.USER)
    except KeyError:
        raise ConfigError(f"there is no user {paths.USER}", "reinstall tundev-common") from None
    # Under another name first: a power cut in between must not leave half a key.
    new = key.with_name(f".{key.name}.new")
    for half in (new, new.with_name(f"{new.name}.pub")):
        half.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", os.uname().nodename, "-f", str(new)])
    for half, final in ((new.with_name(f"{new.name}.pub"), public_key(key)), (new, key)):
        os.chown(half, owner.pw_uid, owner.pw_gid)
        files.sync(half)
        half.rename(final)
    # The RDV may be told of it from now on (tundev.enrolment): it must not be lost any more.
    files.sync_directory(key.parent)


def public_key(key: Path = paths.KEY) -> Path:
    """The file of the public half."""
    return key.with_name(f"{key.name}.pub")

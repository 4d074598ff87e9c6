"""What an agent runs with: the configuration file, under what the command line says."""

from __future__ import annotations

import grp
from dataclasses import dataclass, replace
from pathlib import Path

from tundev import config, key_pair, paths
from tundev.config import Config
from tundev.config_values import Server, Transport
from vtunlib.errors import ConfigError, NotFound
from vtunlib.tunnel import UplinkType


@dataclass(frozen=True)
class Settings:
    """uplink_type: no other uplink is used; time_limit: seconds of each session, 0 for none."""

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
    """The settings. Raises ConfigError on what cannot be taken.

    tls: by TLS alone, to 443 or to the port that `server` names.
    """
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
    elif tls and rdv.transport is not Transport.TLS:
        changes["server"] = Server(rdv.server.host)  # the file's port is that of direct SSH
    if changes:
        rdv = config.Rdv(**{**vars(rdv), **changes})
    if uplink_type is not None and uplink_type not in list(UplinkType):
        raise ConfigError(f"uplink {uplink_type!r} is unknown", f"expected {', '.join(UplinkType)}")
    return Settings(
        replace(loaded, rdv=rdv),
        config.parse_interface(interface) if interface else None,
        UplinkType(uplink_type) if uplink_type else None,
        time_limit,
    )


def ensure_key(key: Path = paths.KEY, group: int | None = None) -> None:
    """Make the device's SSH key if there is none, for `group` (gid) to read: ssh's. Raises RdvError."""
    if key.exists():
        return
    # The RDV may be told of it from then on (tundev.enrolment): it is durable.
    key_pair.make(key, mode=0o640, group=group_of_ssh() if group is None else group)


def group_of_ssh(user: str = paths.USER) -> int:
    """The group that a key is given to for `user`, as whom ssh runs; root's it stays. Raises ConfigError.

    The agent is in the group and has no capability to give a file to another user. ssh takes a key
    that its group may read, as long as the owner is not the one who runs it (ssh(1), sshkey_perm_ok).
    """
    try:
        return grp.getgrnam(user).gr_gid
    except KeyError:
        raise ConfigError(f"there is no group {user}", "reinstall tundev-common") from None


def public_key(key: Path = paths.KEY) -> Path:
    """The file of the public half."""
    return key_pair.public_half(key)


def read_public_key(key: Path = paths.KEY) -> str:
    """The line in it. Raises NotFound where it cannot be read."""
    path = public_key(key)
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError:
        raise NotFound(f"cannot read {path}", "run it as root") from None
    except (OSError, UnicodeDecodeError):
        raise NotFound(
            f"there is no {path}, or it is damaged",
            f"delete {key} too and restart the agent, which makes both; then 'rdv-admin device re-enrol'",
        ) from None

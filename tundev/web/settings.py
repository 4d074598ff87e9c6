"""What the page's process needs of tundev.toml, and all that it gets of it.

/usr/lib/tundev/web-settings, which runs as root before the service, reads the file and writes this;
the page, which anybody on the adapter can talk to, could not read the one-time key or a proxy's
password if it wanted to.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tundev import config, paths
from tundev.web.pin import PinHash
from vtunlib import files
from vtunlib.errors import ConfigError, RdvError

USER = "tundev-web"
SETTINGS = Path("/run/tundev-web/settings.json")


@dataclass(frozen=True)
class PageSettings:
    """uplink: whether the page is on the support desk's LAN too; pin: None where none is asked for."""

    account: str
    uplink: bool = False
    pin: PinHash | None = None


def of(loaded: config.Config) -> PageSettings:
    """What follows from the configuration."""
    web = loaded.web or config.Web()
    return PageSettings(loaded.rdv.account, web.uplink, PinHash.of(web.pin) if web.pin else None)


def load(path: Path = SETTINGS) -> PageSettings:
    """What was written there. Raises ConfigError, also with what is wrong with tundev.toml itself."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if "fault" in raw:
            raise ConfigError(raw["fault"])
        return PageSettings(raw["account"], raw["uplink"], PinHash(**raw["pin"]) if raw["pin"] else None)
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"there is no {path} as web-settings writes it", "start the page by masterdev-web.service"
        ) from None


def write(settings: PageSettings | RdvError, path: Path, owner: tuple[int, int]) -> None:
    """For `load`, readable by `owner` alone. Raises OSError."""
    values = {"fault": str(settings)} if isinstance(settings, RdvError) else asdict(settings)
    files.replace(path, json.dumps(values).encode(), mode=0o400, owner=owner)


def main() -> int:
    """Entry of /usr/lib/tundev/web-settings. A fault is the service's to tell, which then stays down."""
    try:
        settings: PageSettings | RdvError = of(config.load(paths.CONFIG))
    except ConfigError as error:
        settings = error
    try:
        user = pwd.getpwnam(USER)
        os.umask(0o077)
        write(settings, SETTINGS, (user.pw_uid, user.pw_gid))
    except (KeyError, OSError) as error:
        print(f"web-settings: cannot write {SETTINGS}: {error}", file=sys.stderr)
        return RdvError.exit_code
    return 0

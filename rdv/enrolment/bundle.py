"""A device's bundle: the `tundev.toml` that an admin gives to who sets the device up, and its one-time key.

Whoever has the file while its one-time key is good can enrol as the device: it is
written for its owner alone, and never over a file that is not this device's.
"""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from rdv import toml_file
from rdv.devices import Device
from rdv.enrolment import keys
from vtunlib import files
from vtunlib.errors import AlreadyExists, NotFound, RdvError
from vtunlib.run import run
from vtunlib.tunnel import Role

MORE = Path("/etc/rdv/bundle.toml")
"""What the admin has put there is in each bundle that is made from then on."""
MORE_TABLES = ("login", "updates", "uplink", "web")
"""Those of tundev.toml that are not one device's own; what is in them the device checks."""
_SCRATCH = Path("/run/rdv")
"""In memory: a private key that was made here is on no disk."""


@dataclass(frozen=True)
class Bundle:
    """server: NAME[:PORT]; host_key: `type base64`; enrol_key and ca_cert: PEM, empty where there is none.

    more: tables that stand at its end as they are.
    Without ca_cert the device checks the certificate on 443 against the CAs of its Debian.
    """

    server: str
    device: Device
    host_key: str
    enrol_key: str = ""
    ca_cert: str = ""
    more: str = ""


def more(path: Path = MORE) -> str:
    """The text that each bundle ends with; empty where there is no such file. Raises ConfigError."""
    try:
        tables, found = toml_file.read(path)
    except NotFound:
        return ""
    for name, values in tables.items():
        if name not in MORE_TABLES or not isinstance(values, dict):
            expected = ", ".join(f"[{table}]" for table in MORE_TABLES)
            raise toml_file.fault(path, found, name, f"one of the tables {expected}")
    # What stands before the first [table] would be of the table that the bundle ends with.
    for name in tomllib.loads(f"[bundle]\n{found}")["bundle"]:
        raise toml_file.fault(path, found, name, f"[{name}] on a line of its own, and its keys below it")
    return found


def text(bundle: Bundle) -> str:
    """The file."""
    device = bundle.device
    lines = [
        "[rdv]",
        f"server   = {_string(bundle.server)}",
        f"account  = {_string(device.account)}",
        f"host_key = {_string(bundle.host_key)}",
    ]
    # PEM has no quote in it; the newline after ''' is not part of the value.
    for key, pem in (("ca_cert", bundle.ca_cert), ("enrol_key", bundle.enrol_key)):
        lines += [f"{key} = '''\n{pem.strip()}\n'''"] if pem else []
    if device.role is Role.ONSITE:
        lines += ["", "[onsite]", f"location = {_string(device.location)}", ""]
    else:
        lines += ["", "[master]", 'extremity_subnet = "192.168.38.224/29"', ""]
    return "\n".join(lines) + (f"\n{bundle.more}" if bundle.more else "")


def _string(value: str) -> str:
    # A TOML basic string has JSON's escapes.
    return json.dumps(value, ensure_ascii=False)


def write(path: Path, bundle: Bundle) -> None:
    """Write the file, for its owner alone. Raises AlreadyExists, RdvError (see check_place)."""
    check_place(path, bundle.device.account)
    try:
        files.replace(path, text(bundle).encode(), mode=0o600)
    except OSError as error:
        raise RdvError(f"cannot write {path}: {error.strerror}") from None


def check_place(path: Path, account: str) -> None:
    """Raises AlreadyExists where another file is at `path`, NotFound where there is no such folder."""
    if not path.parent.is_dir():
        raise NotFound(f"there is no folder {path.parent}")
    if not path.exists() and not path.is_symlink():
        return
    if _rdv_table(path).get("account") != account:
        raise AlreadyExists(f"{path} is there and is no bundle of {account}", "choose another name for it")


def enrol_key(path: Path) -> str:
    """The one-time key in the bundle at `path`, as `text` takes it; empty where there is none."""
    found = _rdv_table(path).get("enrol_key", "")
    return found if isinstance(found, str) else ""


def holds(private: str, public: str) -> bool:
    """Whether `private` (OpenSSH's PEM) is the private half of `public` (`type base64`)."""
    body = "".join(line for line in private.split("\n") if not line.startswith("-----"))
    try:
        # PROTOCOL.key: the public half stands in the private file as it is.
        return base64.b64decode(public.split()[1]) in base64.b64decode(body)
    except (binascii.Error, ValueError):
        return False


def make_one_time(account: str) -> tuple[str, str]:
    """A new key: its private half as PEM, its public half as `type base64`. Raises RdvError."""
    with tempfile.TemporaryDirectory(dir=_SCRATCH, prefix="one-time-") as scratch:
        file = Path(scratch) / "key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"one-time {account}", "-f", str(file)])
        return file.read_text(encoding="ascii"), keys.parse_key(file.with_suffix(".pub").read_text("ascii"))


def _rdv_table(path: Path) -> dict[str, object]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("rdv", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    return found if isinstance(found, dict) else {}

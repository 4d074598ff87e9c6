"""The store of devices: one TOML file each, text that configuration management can own."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from rdv import toml_file
from rdv.facts import TEXT_LIMIT
from vtunlib import files
from vtunlib.errors import AlreadyExists, ConfigError, NotFound, UsageError
from vtunlib.tunnel import Role

DIRECTORY = Path("/etc/rdv/devices.d")

_DISABLED = re.compile(r"\s*[\"']?disabled[\"']?\s*=")
_FORMS = {str: "a text", list: "a list of names", bool: "true or false"}
_ACCOUNT = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class Device:
    """What the admin says of a device; account: the name of its Unix account."""

    account: str
    role: Role
    label: str = ""
    location: str = ""
    groups: tuple[str, ...] = ()
    disabled: bool = False
    """The manager takes no connection of it."""


def check_account(name: str) -> str:
    """`name` if a device can be called so. Raises UsageError."""
    if not _ACCOUNT.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a device's name", "expected a-z, 0-9 and -, a letter first, at most 31"
        )
    return name


class DeviceStore:
    """Reads and writes the devices' files below one directory."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory

    def read(self, account: str) -> Device:
        """The device of that account. Raises NotFound, ConfigError."""
        path = self._path(account)
        data, text = toml_file.read(path)
        kinds = {"role": str, "label": str, "location": str, "groups": list, "disabled": bool}
        for key, value in data.items():
            if key not in kinds:
                raise toml_file.fault(path, text, key, f"one of {', '.join(kinds)}")
            if not isinstance(value, kinds[key]):
                raise toml_file.fault(path, text, key, _FORMS[kinds[key]])
        if data.get("role") not in list(Role):
            raise toml_file.fault(path, text, "role", '"onsite" or "master"')
        for key in ("label", "location"):
            if not _showable(data.get(key, "")):
                raise toml_file.fault(path, text, key, f"at most {TEXT_LIMIT} printable characters")
        groups = data.get("groups", [])
        if not all(isinstance(name, str) and name and _showable(name) for name in groups):
            raise toml_file.fault(path, text, "groups", "a list of names")
        return Device(
            account,
            Role(data["role"]),
            data.get("label", ""),
            data.get("location", ""),
            tuple(groups),
            data.get("disabled", False),
        )

    def stamp(self, account: str) -> tuple[int, int, int]:
        """Another value as soon as the device's file is another. Raises NotFound, ConfigError."""
        path = self._path(account)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"there is no {path}") from None
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def names(self) -> list[str]:
        """The accounts that have a file, sorted. Files with other names are passed over."""
        found = (path.stem for path in self._directory.glob("*.toml"))
        return sorted(name for name in found if _ACCOUNT.fullmatch(name))

    def add(self, device: Device) -> None:
        """Write the file of a new device. Raises AlreadyExists, never overwrites."""
        path = self._path(device.account)
        lines = [f'role = "{device.role}"']
        for key, value in (("label", device.label), ("location", device.location)):
            # A TOML basic string has JSON's escapes.
            lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}"] if value else []
        if device.groups:
            lines.append(f"groups = {json.dumps(list(device.groups), ensure_ascii=False)}")
        with files.locked(self._directory):
            if path.exists():
                raise AlreadyExists(f"there is a {path}")
            files.replace(path, "\n".join([*lines, ""]).encode(), mode=0o644)

    def set_disabled(self, account: str, disabled: bool) -> bool:
        """Say so in the device's file, its other lines and comments kept; whether that changed it.

        Raises NotFound, ConfigError.
        """
        if self.read(account).disabled is disabled:
            return False
        path = self._path(account)
        # Every value of the file is of one line, for none may hold a line's end.
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not _DISABLED.match(line)]
        # Before all else: at the end it might follow the head of a table.
        text = "\n".join([*(["disabled = true"] if disabled else []), *lines, ""])
        files.replace(path, text.encode(), mode=stat.S_IMODE(path.stat().st_mode))
        return True

    def remove(self, account: str) -> bool:
        """Delete the device's file; whether there was one."""
        path = self._path(account)
        existed = path.exists()
        path.unlink(missing_ok=True)
        return existed

    def all(self) -> list[Device | ConfigError]:
        """All devices by name, or why their file cannot be taken."""
        devices: list[Device | ConfigError] = []
        for name in self.names():
            try:
                devices.append(self.read(name))
            except ConfigError as error:
                devices.append(error)
            except NotFound:
                continue  # removed meanwhile
        return devices

    def _path(self, account: str) -> Path:
        return self._directory / f"{check_account(account)}.toml"


def _showable(text: str) -> bool:
    return len(text) <= TEXT_LIMIT and text.isprintable()

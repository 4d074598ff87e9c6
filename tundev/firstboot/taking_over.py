"""Takes the boot partition's file over, so that a power cut at any moment costs nothing but a boot.

`plan` decides by what is found, `steps` acts. Each step is durable before the
next, and the plan that is made after a cut ends where the first would have. What the
device keeps of the file, besides its configuration: COPY, what the boot partition is
to hold from now on, without secrets; and SOURCE, the digest of what was taken.

It never enrols and never asks the network.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tundev import config, paths, settings
from tundev.firstboot import secret_values
from tundev.firstboot.boot_partition import BUNDLE, SIZE_LIMIT, BootPartition
from vtunlib import files
from vtunlib.errors import ConfigError

COPY = "card.toml"
SOURCE = "card.sha256"


class Step(StrEnum):
    """In the order in which they are made."""

    CONFIG = "config"
    """The agents' file, whole, with its secrets."""
    KEY = "key"
    """The device's SSH key, where there is none."""
    COPY = "copy"
    SOURCE = "source"
    """From now on the file is taken: what follows only tidies the boot partition."""
    BLANK = "blank"
    """The former file is overwritten where it lies."""
    CARD = "card"
    """The boot partition has the copy."""


@dataclass(frozen=True)
class Found:
    """The boot partition's file, and what the device has: None for what is not there."""

    card: bytes | None = None
    config: bytes | None = None
    copy: bytes | None = None
    source: str | None = None


@dataclass(frozen=True)
class Plan:
    """The steps, and what they write."""

    steps: tuple[Step, ...] = ()
    config: bytes = b""
    copy: bytes = b""
    source: str = ""


def plan(found: Found) -> Plan:
    """What is to be done. Raises ConfigError where the file cannot be taken: all stays as it is then."""
    card = found.card
    if found.config is not None and found.copy is not None:
        if card == found.copy:
            return Plan()
        # An empty one is what fsck leaves of a file whose place on the card is lost.
        if not card or _half_blanked(card):
            return Plan((Step.CARD,), copy=found.copy)
        if _digest(card) == found.source:
            return Plan((Step.BLANK, Step.CARD), copy=found.copy)
    if card is None:
        return Plan()
    text = _text(card)
    completed = secret_values.completed(text, BUNDLE, _values(found.config))
    config.parse(completed, BUNDLE)
    copy = secret_values.erased(text).encode()
    taking = (Step.CONFIG, Step.KEY, Step.COPY, Step.SOURCE)
    tidying = () if copy == card else (Step.BLANK, Step.CARD)
    return Plan((*taking, *tidying), completed.encode(), copy, _digest(card))


def _text(card: bytes) -> str:
    if len(card) > SIZE_LIMIT:
        raise ConfigError(f"{BUNDLE}: longer than {SIZE_LIMIT} bytes; no bundle is")
    if card.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(f"{BUNDLE}: saved as UTF-16 (Notepad: 'Unicode')", "save it as UTF-8")
    try:
        return card.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = card.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{BUNDLE}, line {line}: not UTF-8", "save it as UTF-8") from None


def _values(former: bytes | None) -> dict[str, object]:
    """The configuration of before; nothing where it is damaged."""
    try:
        return tomllib.loads((former or b"").decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def _half_blanked(card: bytes) -> bool:
    """Whether a power cut has caught Step.BLANK; UTF-16 has NULs too, but begins otherwise."""
    return b"\0" in card and not card.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _digest(card: bytes) -> str:
    return hashlib.sha256(card).hexdigest()


@dataclass(frozen=True)
class Places:
    """Where all of it is. group: gid of those who may read the configuration and the key."""

    boot: BootPartition
    group: int
    config: Path = paths.CONFIG
    key: Path = paths.KEY

    @property
    def copy(self) -> Path:
        """See COPY."""
        return self.config.with_name(COPY)

    @property
    def source(self) -> Path:
        """See SOURCE."""
        return self.config.with_name(SOURCE)


def look(places: Places) -> Found:
    """What there is. Raises OSError."""
    source = _read(places.source)
    return Found(
        places.boot.read(),
        _read(places.config),
        _read(places.copy),
        source.decode("ascii", "replace").strip() if source else None,
    )


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def steps(made: Plan, places: Places) -> Iterator[Step]:
    """Make one step for each that is asked for; it is durable when it is told. Raises OSError, RdvError."""
    for step in made.steps:
        match step:
            case Step.CONFIG:
                owner = (os.geteuid(), places.group)
                files.replace(places.config, made.config, mode=0o640, owner=owner)
            case Step.KEY:
                settings.ensure_key(places.key, places.group)
            case Step.COPY:
                files.replace(places.copy, made.copy, mode=0o644)
            case Step.SOURCE:
                files.replace(places.source, f"{made.source}\n".encode(), mode=0o644)
            case Step.BLANK:
                with places.boot.writable():
                    places.boot.blank()
            case Step.CARD:
                with places.boot.writable():
                    places.boot.replace(places.boot.bundle, made.copy)
        yield step

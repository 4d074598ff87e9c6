"""Takes the boot partition's file over, so that a power cut at any moment costs nothing but a boot.

`plan` decides by what is found, `steps` acts. Each step is durable before the
next, and the plan that is made after a cut ends where the first would have. What the
device keeps of the file, besides its configuration: COPY, what the boot partition is
to hold from now on, without secrets; and SOURCE, the digest of what was taken, with the
word TIDY once the boot partition holds COPY.

It never enrols and never asks the network.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tundev import config, paths, settings
from tundev.firstboot import secret_values
from tundev.firstboot.boot_partition import BUNDLE, BootPartition
from tundev.firstboot.card_text import is_partly_zeros, text_of
from tundev.toml_text import values_of
from vtunlib import files
from vtunlib.errors import ConfigError

COPY = "card.toml"
SOURCE = "card.sha256"
TIDY = "tidy"


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
    TIDY = TIDY
    """It is noted that it has: where it is empty or damaged from now on, no step was cut short."""


@dataclass(frozen=True)
class Found:
    """The boot partition's file, and what the device has: None for what is not there."""

    card: bytes | None = None
    config: bytes | None = None
    copy: bytes | None = None
    source: str | None = None

    @property
    def digest(self) -> str:
        """Of what was taken."""
        return (self.source or "").removesuffix(f" {TIDY}")

    @property
    def tidy(self) -> bool:
        """Whether all steps were made: what differs on the boot partition since then is a person's."""
        return (self.source or "").endswith(f" {TIDY}")


@dataclass(frozen=True)
class Plan:
    """The steps, and what they write."""

    steps: tuple[Step, ...] = ()
    config: bytes = b""
    copy: bytes = b""
    source: str = ""
    """The digest alone."""
    damaged: str | None = None
    """What a person's file is in place of a text: nobody else has cut it short."""


def plan(found: Found, name: str = BUNDLE) -> Plan:
    """What is to be done; name stands for the file in errors.

    Raises ConfigError where the file cannot be taken: all stays as it is then.
    """
    card = found.card
    if found.config is not None and found.copy is not None:
        made = _tidying(found, found.copy)
        if made is not None:
            return made
    if card is None:
        return Plan()
    text = text_of(card, name)
    completed = secret_values.completed(text, name, _values(found.config))
    config.parse(completed, name)
    copy = secret_values.erased(text, name).encode()
    taking = (Step.CONFIG, Step.KEY, Step.COPY, Step.SOURCE)
    tidying = () if copy == card else (Step.BLANK, Step.CARD)
    return Plan((*taking, *tidying, Step.TIDY), completed.encode(), copy, _digest(card))


def _tidying(found: Found, copy: bytes) -> Plan | None:
    """What is left to be done for a file that was taken; None where a person's is on the card."""
    card, digest = found.card, found.digest or _digest(copy)
    # Before the card is changed TIDY goes: a cut is no damage then.
    begun = (Step.SOURCE,) if found.tidy else ()
    if card == copy:
        return Plan(() if found.tidy else (Step.TIDY,), source=digest)
    if card is None:
        return Plan((*begun, Step.CARD, Step.TIDY), copy=copy, source=digest)
    # An empty one is what fsck leaves of a file whose place on the card is lost.
    if not card or is_partly_zeros(card):
        if found.tidy:  # a person's, and it is told again if the power is cut before it was read
            return Plan((Step.CARD,), copy=copy, damaged="damaged" if card else "empty")
        return Plan((Step.CARD, Step.TIDY), copy=copy, source=digest)
    if _digest(card) == digest:
        return Plan((*begun, Step.BLANK, Step.CARD, Step.TIDY), copy=copy, source=digest)
    return None


def _values(former: bytes | None) -> dict[str, object]:
    """The configuration of before; nothing where it is damaged."""
    try:
        return values_of((former or b"").decode(), BUNDLE)
    except (UnicodeDecodeError, ConfigError):
        return {}


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
    """What there is. Raises OSError, ConfigError."""
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
            case Step.TIDY:
                files.replace(places.source, f"{made.source} {TIDY}\n".encode(), mode=0o644)
        yield step

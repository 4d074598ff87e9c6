"""Every command and configuration file has a manual page, and it tells all options and keys."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from rdv import settings
from rdv.access import rules
from rdv.admin import main as rdv_admin
from rdv.devices import Device
from tests.unit.test_architecture import ROOT
from tundev import config
from tundev.commands import masterdev, onsitedev, tundev_status, tundev_upgrade
from vtunlib.run import run

PAGES = sorted((ROOT / "docs/man").iterdir())
COMMANDS = sorted(
    [*(ROOT / "rootfs-overlay").glob("*/usr/bin/*"), *(ROOT / "rdv/system/usr/sbin").iterdir()],
    key=lambda path: path.name,
)
PARSERS = {
    "masterdev.1": masterdev._parser(),
    "onsitedev.1": onsitedev._parser(),
    "tundev-status.1": tundev_status._parser(),
    "tundev-upgrade.1": tundev_upgrade._parser(),
    "rdv-admin.8": rdv_admin._parser(),
}


def keys_of(kind: object) -> set[str]:
    """The fields of a dataclass, which are the keys of a file or a table."""
    assert isinstance(kind, type) and dataclasses.is_dataclass(kind)
    return {field.name for field in dataclasses.fields(kind)}


KEYS = {
    "acl.toml.5": {"[[rule]]", *rules._KEYS},
    "rdv.toml.5": {
        *(f"[{name}]" for name in keys_of(settings.Settings)),
        *(key for kind, _ in settings._FORMS.values() for key in keys_of(kind)),
    },
    "rdv-device.toml.5": keys_of(Device) - {"account"},  # that is the file's name
    "tundev.toml.5": {
        *(f"[{table}]" for table in config._TABLES),
        *(key for keys in config._TABLES.values() for key in keys),
    },
}


@cache
def text(page: str) -> str:
    """The page as a reader sees it, wide enough for one line a paragraph."""
    shown = run(["mandoc", "-T", "utf8", "-O", "width=900", str(ROOT / "docs/man" / page)])
    return re.sub(r".\x08", "", shown)  # bold and underlined


def says(page: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text(page)) is not None


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Each command with its options; those that --help does not show are nobody's business."""
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    subs = [action for action in shown if isinstance(action, argparse._SubParsersAction)]
    options = {option for action in shown for option in action.option_strings}
    yield " ".join(words), options - {"-h", "--help"}
    for sub in subs:
        for name, child in sub.choices.items():
            yield from commands(child, (*words, name))


def _words(told: list[str]) -> set[str]:
    """Without the brackets of what may be left out."""
    return {word.strip("[]|") for word in told}


def test_every_command_has_a_page() -> None:
    assert [path.name for path in COMMANDS] == sorted(page.rpartition(".")[0] for page in PARSERS)


def test_every_page_is_installed_by_one_package() -> None:
    installed = [line for file in (ROOT / "debian").glob("*.manpages") for line in file.read_text().split()]
    assert sorted(installed) == [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_page_is_well_formed(page: Path) -> None:
    assert run(["mandoc", "-T", "lint", "-W", "warning", str(page)]) == ""


@pytest.mark.parametrize("page", PARSERS)
def test_a_page_tells_every_command_with_its_options(page: str) -> None:
    synopsis = text(page).partition("SYNOPSIS")[2].partition("DESCRIPTION")[0].splitlines()
    missing = []
    for command, options in commands(PARSERS[page]):
        *before, last = command.split() or [""]
        # Commands with the same arguments may share a line: `device show | remove NAME`.
        also = r"(?:[a-z-]+ \| )*"
        name = " ".join([page[:-2], *before, f"{also}{last}"])
        lines = [line for line in synopsis if re.match(rf"\s*{name}(?![\w-])", line)] if last else synopsis
        told = " ".join(lines).split()
        missing += [] if lines else [command]
        missing += [f"{command} {option}" for option in sorted(options) if option not in _words(told)]
    assert not missing


@pytest.mark.parametrize("page", KEYS)
def test_a_page_tells_every_key_of_its_file(page: str) -> None:
    assert not [key for key in sorted(KEYS[page]) if not says(page, key)]

"""Browsers, each started once; and the page on the stage, which every test gets as new."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.browser.chromium import DESKTOP, Chromium, chromium
from tests.browser.page import Page
from tests.browser.scenes import ROWS
from tests.browser.stage import ADDRESS, MOVED, UPLINK_ADDRESS, UPLINK_URL, URL, Desk, Stage, desk, stage
from tests.bus.daemon import private_bus
from tundev.web.pin import PinHash
from tundev.web.places import NAME
from tundev.web.settings import PageSettings

Staged = tuple[Stage, Page]
OpenStage = Callable[..., Staged]


@pytest.fixture(scope="session")
def staged_desk() -> Iterator[Desk]:
    """Two namespaces."""
    with desk(f"{os.environ.get('LAB_NAME', 'test')[:10]}stage") as made:
        yield made


@pytest.fixture(scope="session")
def stage_browser(staged_desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser on the stage's laptop."""
    directory = tmp_path_factory.mktemp("stage-browser")
    with chromium(staged_desk.laptop.netns, directory, {NAME: MOVED}) as browser:
        yield browser


@pytest.fixture
def open_stage(
    staged_desk: Desk, stage_browser: Chromium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenStage]:
    """Opens the page, with a PIN or as seen from the support LAN where that is wanted.

    Afterwards the console has had nothing to say, and nobody but the master was asked for anything.
    """
    with ExitStack() as stack:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", stack.enter_context(private_bus(tmp_path)))

        def opened(*, pin: str = "", uplink: bool = False) -> tuple[Stage, Page]:
            settings = PageSettings("rpi1201", uplink, PinHash.of(pin) if pin else None)
            staged = stack.enter_context(stage(staged_desk.master.netns, settings))
            stage_browser.size(DESKTOP)
            return staged, Page(stage_browser, UPLINK_URL if uplink else URL).open()

        yield opened
        complaints, asked = stage_browser.complaints(), stage_browser.hosts_asked()
        stage_browser.tidy()
    assert complaints == []
    assert asked <= {ADDRESS, MOVED, UPLINK_ADDRESS, NAME}


@pytest.fixture
def staged(open_stage: OpenStage) -> Staged:
    """The page with five sites online."""
    stage, page = open_stage()
    stage.onsites(*ROWS)
    page.until(lambda: len(page.sites) == len(ROWS), "all sites are listed")
    return stage, page

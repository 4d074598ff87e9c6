"""Each of the page's states as a person sees it, and the pictures of them."""

from __future__ import annotations

import pytest

from tests.browser.chromium import DESKTOP, PHONE, SMALL
from tests.browser.conftest import OpenStage
from tests.browser.scenes import SCENES


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_readable_everywhere(open_stage: OpenStage, name: str) -> None:
    """On a phone and a desktop, light and dark: no sideways scrolling, contrast as WCAG 2.1 AA has it."""
    scene = SCENES[name]
    stage, page = open_stage(uplink=scene.uplink, pin=scene.pin)
    scene.play(stage, page)
    for size, tag in ((DESKTOP, "desktop"), (PHONE, "phone")):
        page.browser.size(size, dark=False)
        page.picture(f"{name}-{tag}")
    page.browser.size(SMALL)
    assert page.fits()
    assert page.unreadable() == []
    page.browser.size(DESKTOP, dark=True)
    assert page.unreadable() == []
    page.picture(f"{name}-dark")
    assert page.unnamed() == []

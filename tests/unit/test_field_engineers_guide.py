"""The field engineer's guide says what the device says, in its words."""

from __future__ import annotations

import ast
import re

import pytest

from image.checks import SIZE_LIMIT
from tests.unit.test_architecture import ROOT
from tests.unit.test_operations_guide import literal
from tundev.appliance.led import PATTERNS
from tundev.appliance.status_text import Condition

TEXT = (ROOT / "docs/field-engineer.md").read_text(encoding="utf-8")
SPEAKING = (
    *("tundev/appliance/status_text.py", "tundev/advice_words.py", "tundev/advice.py"),
    *("tundev/appliance/upgrade.py", "tundev/firstboot/taking_over.py", "image/finish.py"),
)
RESCUED = ROOT / "rootfs-overlay/image/usr/lib/tundev/rescued.outcome"
ELSEWHERE = {
    "RDV server",  # each text about it has these words
    "the one-time key … was used, replaced or has expired",  # the agent's, by the account
}


def said() -> str:
    """All texts that a device has for its card, `…` for what differs."""
    found = []
    for name in SPEAKING:
        tree = ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8")))
        found += [literal(node) for node in tree if isinstance(node, ast.expr)]
    found.append(RESCUED.read_text(encoding="utf-8"))
    return "\n".join(found).replace("{BUNDLE}", "tundev.toml")


@pytest.mark.parametrize("second", ["do", "the box"])
def test_what_the_guide_explains_is_what_the_card_says(second: str) -> None:
    table = TEXT.partition(f"| it says | {second} |")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| ")]
    phrases = [phrase for row in rows for phrase in re.findall(r"\*\*(.+?)\*\*", row)]
    assert len(phrases) > 3
    words = said()
    for phrase in set(phrases) - ELSEWHERE:
        parts = [part.strip() for part in phrase.replace("tundev.toml", "…").split("…")]
        assert not [part for part in parts if part not in words], phrase


def test_the_guide_has_each_pattern_of_the_led_once() -> None:
    rows = re.findall(r"^\| (?:a )?\*\*(\w+)\*\*", TEXT.partition("| LED | the box |")[2], re.M)[:5]
    assert rows == ["on", "beats", "blinks", "spark", "flickers"]
    assert len({PATTERNS[condition] for condition in Condition}) == len(rows)


def test_the_cards_that_the_guide_asks_for_are_large_enough() -> None:
    sizes = sorted(int(number) for number in re.findall(r"(\d) GB", TEXT))
    assert [size * 1_000_000_000 * 95 // 100 for size in sizes] == sorted(SIZE_LIMIT.values())

"""How the operations guide is read: what is a command, and what counts as what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.guide import ByHand, Command, read

GUIDE = """\
Words, and `rdv# no command` in them.

```console
rdv# first --long \\
       --more
NAME   STATE
a      …
rdv# watch
- now
…
```

**By hand:** press Ctrl-C
on the rdv.

```sh
rdv# not run
```
"""


@pytest.fixture
def steps(tmp_path: Path) -> list[Command | ByHand]:
    file = tmp_path / "guide.md"
    file.write_text(GUIDE, encoding="utf-8")
    return read(file)


def test_commands_and_what_is_done_by_hand_come_in_their_order(steps: list[Command | ByHand]) -> None:
    assert steps == [
        Command(4, "rdv", True, "first --long --more", ("NAME   STATE", "a      …")),
        Command(8, "rdv", True, "watch", ("- now", "…"), stays=True),
        ByHand(13, "press Ctrl-C on the rdv."),
    ]


@pytest.mark.parametrize(
    ("output", "as_shown"),
    [
        ("NAME  STATE\na     online for 3 s\n", True),
        ("NAME  STATE\n\na  x\n", True),
        ("NAME  STATE\na  x\nb  x\n", False),
        ("NAME  STATE\n", False),
        ("NAME  STATES\na  x\n", False),
        ("warning\nNAME  STATE\na  x\n", False),
    ],
)
def test_dots_stand_for_the_rest_of_a_line_and_no_more(
    steps: list[Command | ByHand], output: str, as_shown: bool
) -> None:
    assert isinstance(steps[0], Command)
    assert steps[0].prints(output) is as_shown


@pytest.mark.parametrize(("output", "as_shown"), [("- now\n", True), ("- now\n1\n2\n", True), ("1\n", False)])
def test_a_line_of_dots_stands_for_any_lines(
    steps: list[Command | ByHand], output: str, as_shown: bool
) -> None:
    assert isinstance(steps[1], Command)
    assert steps[1].prints(output) is as_shown


def test_a_command_of_which_nothing_is_shown_may_print_anything() -> None:
    assert Command(1, "rdv", True, "apt-get", ()).prints("much\n")

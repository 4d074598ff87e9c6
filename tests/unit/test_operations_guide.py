"""The operations guide tells every line that the services log, and every exit code: no more, no less."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.lab.guide import GUIDE
from tests.unit.test_architecture import ROOT
from tundev.states import State
from vtunlib import errors

TEXT = GUIDE.read_text(encoding="utf-8")
TROUBLE = TEXT[TEXT.index("## 14. ") : TEXT.index("## 15. ")]
LINES = TEXT[TEXT.index("## 15. ") :]
PLACES = re.compile(r"%(?:\.\d)?[a-z]")


def literal(node: ast.expr) -> str:
    """A text with `…` for what differs; empty where it is none."""
    match node:
        case ast.Constant(value=str(text)):
            return PLACES.sub("…", text)
        case ast.JoinedStr(values=parts):
            return "".join(literal(part) if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return literal(left) + literal(right)
    return ""


def nodes() -> Iterator[ast.AST]:
    for package in ("rdv", "tundev", "vtunlib"):
        for path in (ROOT / package).rglob("*.py"):
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def logged() -> set[str]:
    """The texts of all log calls that have words of their own."""
    found = set()
    for node in nodes():
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[text, *_]):
                if level != "debug" and re.search(r"\w{2,}", words := literal(text)):
                    found.add(words)
    return found


def spans(text: str) -> set[str]:
    """What stands in the first column of the tables."""
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    return {span for row in rows for span in re.findall(r"`([^`]+)`", row)}


def test_every_line_that_is_logged_is_in_the_guide() -> None:
    assert not sorted(logged() - spans(LINES))


def test_the_guide_has_no_line_that_nobody_logs() -> None:
    ours = "".join(part for part in LINES.split("\n### ") if "rdv-sshd" not in part.splitlines()[0])
    known = {PLACES.sub("…", literal(node)) for node in nodes() if isinstance(node, ast.expr)}
    told = {span for span in spans(ours) if re.search(r"\w{2,}", span) and not hasattr(errors, span)}
    # `…: …: nobody …` is a text of `…: nobody …` whose first part is itself of that form.
    short = {re.sub(r"^(?:…: )+", "…: ", span) for span in told}
    assert not sorted(span for span in short if not any(span in text for text in known))


def test_the_guide_and_the_manual_have_every_state_of_a_device() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TROUBLE, re.M) == list(State)
    manual = (ROOT / "docs/man/tundev-status.1").read_text(encoding="utf-8")
    assert not [state for state in State if state not in manual]


def test_the_guide_has_every_exit_code() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", LINES, re.M))
    kinds = errors._classes(errors.RdvError).items()
    assert rows == {str(kind.exit_code): name for name, kind in kinds if "exit_code" in vars(kind)}

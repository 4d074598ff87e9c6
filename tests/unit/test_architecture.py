"""What the folders promise of each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "vtunlib": {"vtunlib"},
    "rdv": {"rdv", "vtunlib"},
    "tundev": {"tundev", "vtunlib"},
    "image": {"image", "tundev", "vtunlib"},
}


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_server_and_devices_share_only_vtunlib(package: str) -> None:
    modules = list((ROOT / package).rglob("*.py"))
    assert modules
    for module in modules:
        ours = imported(module) & MAY_IMPORT.keys()
        assert ours <= MAY_IMPORT[package], f"{module}: {ours - MAY_IMPORT[package]}"

"""The server's settings: defaults that work, and a fault that says where and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdv import settings
from rdv.settings import Metrics, Settings
from vtunlib.errors import ConfigError

SHIPPED = Path(__file__).resolve().parents[3] / "rdv/system/etc/rdv/rdv.toml"


def test_without_a_file_all_is_the_default(tmp_path: Path) -> None:
    assert settings.load(tmp_path / "rdv.toml") == Settings()


def test_the_shipped_file_says_the_defaults(tmp_path: Path) -> None:
    """Its comments are the defaults, but for the server's name, which has none."""
    assert settings.load(SHIPPED) == Settings()
    lines = [
        line.removeprefix("# ") for line in SHIPPED.read_text().splitlines() if " = " in line or "[" in line
    ]
    file = tmp_path / "rdv.toml"
    file.write_text("\n".join(line for line in lines if not line.startswith("name")))
    assert settings.load(file) == Settings()


@pytest.mark.parametrize("listen", ["off", "127.0.0.1:9101", "[::1]:9101", "unix:/run/rdv/metrics.sock"])
def test_where_metrics_may_listen(tmp_path: Path, listen: str) -> None:
    file = tmp_path / "rdv.toml"
    file.write_text(f'[metrics]\nlisten = "{listen}"\n')
    assert settings.load(file).metrics == Metrics(listen)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ('[server]\nname = "a b"\n', 2, "name"),
        ("[audit]\n\nkeep_days = 0\n", 3, "keep_days"),
        ("[audit]\nkeep_days = true\n", 2, "keep_days"),
        ('[audit]\nmax_mib = "1"\n', 2, "max_mib"),
        ('[metrics]\nlisten = "0.0.0.0:9101"\n', 2, "listen"),
        ('[metrics]\nlisten = "unix:/tmp/x"\n', 2, "listen"),
        ("[servers]\n", 1, "servers"),
        ("[server]\nport = 1\n", 2, "port"),
    ],
)
def test_a_fault_names_line_and_key(tmp_path: Path, text: str, line: int, word: str) -> None:
    file = tmp_path / "rdv.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"{file}:{line}: {word}; expected "):
        settings.load(file)

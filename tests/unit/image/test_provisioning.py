"""One device's card: the bundle is checked first, and lands on the boot partition of a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from image import provisioning
from image.deliver import pack
from tests.unit.image.sample import LAYOUT, sample
from vtunlib.run import run

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzSfdB1DIFYpq6GCxyYLdgMPN7PqsPGcJLTGZTfrC6Q"
RDV = f'[rdv]\nserver = "rdv.example.com"\naccount = "rpi1100"\nhost_key = "{KEY}"\n'
BUNDLE = f'{RDV}[onsite]\nlocation = "Kühlraum"\n'


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample(tmp_path_factory.mktemp("image")).make()


@pytest.fixture(scope="module")
def packed(image: Path) -> Path:
    return pack(image)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made = tmp_path / "rpi1100.toml"
    made.write_text(BUNDLE, encoding="utf-8")
    return made


def _on_boot(card: Path) -> str:
    boot = f"{card}@@{LAYOUT.partitions[0].start}"
    return run(["mtype", "-i", boot, "::/tundev.toml"])


def _provision(image: Path, bundle: Path, card: Path) -> int:
    return provisioning.main([str(image), "--bundle", str(bundle), "-o", str(card)])


def test_the_card_has_the_bundle_and_the_image_has_not(image: Path, bundle: Path, tmp_path: Path) -> None:
    before = image.stat().st_mtime_ns
    card = tmp_path / "rpi1100.img"
    assert _provision(image, bundle, card) == 0
    assert _on_boot(card) == BUNDLE
    assert card.stat().st_size == image.stat().st_size
    assert card.stat().st_mode & 0o777 == 0o600
    assert card.stat().st_blocks * 512 < card.stat().st_size // 4, "its holes are filled"
    assert image.stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rpi1100.img", "rpi1100.toml"]


def test_a_bundle_that_no_device_would_take_is_told_with_line_and_reason(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bad.toml"
    bundle.write_text(f'{RDV}transport = "carrier pigeon"\n', encoding="utf-8")
    assert _provision(image, bundle, tmp_path / "card.img") == 3
    said = capsys.readouterr().err
    assert "bad.toml" in said
    assert "5" in said
    assert "transport" in said
    assert not (tmp_path / "card.img").exists()


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (f"web = {{ pin = '84722' }}\n{BUNDLE}".encode(), "line 1: [web] pin"),
        (f'{BUNDLE}[web]\npin = "(kept on the device)"\n'.encode(), "line 8: [web] pin"),
        (BUNDLE.encode() + b"#" * 70000, "longer than 65536 bytes"),
        (BUNDLE.encode("utf-16"), "saved as UTF-16"),
        (BUNDLE.encode("latin-1"), "line 6: not UTF-8"),
        (b"", "it is empty"),
    ],
)
def test_what_the_device_refuses_is_refused_before_the_card_travels(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, line: str
) -> None:
    bundle = tmp_path / "bad.toml"
    bundle.write_bytes(data)
    assert _provision(image, bundle, tmp_path / "card.img") == 3
    said = capsys.readouterr().err
    assert "bad.toml" in said and line in said
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def test_what_windows_makes_of_a_bundle_is_put_on_the_card_as_it_is(
    image: Path, bundle: Path, tmp_path: Path
) -> None:
    data = b"\xef\xbb\xbf" + BUNDLE.replace("\n", "\r\n").encode()
    bundle.write_bytes(data)
    assert _provision(image, bundle, tmp_path / "card.img") == 0
    copy = tmp_path / "copied"
    boot = f"{tmp_path / 'card.img'}@@{LAYOUT.partitions[0].start}"
    run(["mcopy", "-i", boot, "::/tundev.toml", str(copy)])
    assert copy.read_bytes() == data


@pytest.mark.parametrize("kind", ["image", "packed"])
def test_a_card_is_made_on_fat_too(
    kind: str, bundle: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A file system that knows no links and no rights, as a USB stick has: the kernel says EPERM."""
    source: Path = request.getfixturevalue(kind)
    calls = "link,linkat,symlink,symlinkat,chmod,fchmod,fchmodat"
    refused = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:error=EPERM"]
    card = tmp_path / "card.img"
    program = str(Path(provisioning.__file__).with_name("provision"))
    run([*refused, program, str(source), "--bundle", str(bundle), "-o", str(card)], deadline=120)
    assert _on_boot(card) == BUNDLE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.img", "rpi1100.toml"]


def test_a_master_s_bundle_does_not_go_onto_an_onsite_s_image(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "rpi1200.toml"
    bundle.write_text(f"{RDV}[master]\n", encoding="utf-8")
    assert _provision(image, bundle, tmp_path / "card.img") == 3
    assert "no [onsite]" in capsys.readouterr().err


def test_a_card_that_is_there_is_never_overwritten(
    image: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "card.img"
    card.write_text("precious")
    assert _provision(image, bundle, card) == 15
    assert "is there already" in capsys.readouterr().err
    assert card.read_text() == "precious"


def test_what_is_no_image_makes_no_card(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "holiday.img"
    other.write_bytes(bytes(1 << 20))
    assert _provision(other, bundle, tmp_path / "card.img") == 2
    assert "is no image of ours" in capsys.readouterr().err
    assert _provision(tmp_path / "none.img", bundle, tmp_path / "card.img") == 14
    assert _provision(other, tmp_path / "none.toml", tmp_path / "card.img") == 14
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday.img", "rpi1100.toml"]


def test_an_image_that_was_not_downloaded_to_its_end_is_said_to_be(
    packed: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / packed.name
    cut.write_bytes(packed.read_bytes()[:-100])
    assert _provision(cut, bundle, tmp_path / "card.img") == 1
    said = capsys.readouterr().err
    assert f"cannot unpack {cut}" in said
    assert "ended before" in said
    assert "sha256sum --check" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rpi1100.toml", packed.name]


def test_help_has_examples() -> None:
    assert "examples:" in run([str(Path(provisioning.__file__).with_name("provision")), "--help"])

"""What an image must not have: each fault, planted in the root of a real image, is found and named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from image import check_command
from image.checks import SIZE_LIMIT, accept, check
from image.layout import BOOT_PATH
from tests.unit.image.sample import COMMAND_LINE, LAYOUT, PASSWD, Sample, sample
from vtunlib.errors import FaultFound
from vtunlib.run import run
from vtunlib.tunnel import Role

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
BOOT_CONFIG = f"{BOOT_PATH}/tundev.toml"


@pytest.fixture
def made(tmp_path: Path) -> Sample:
    return sample(tmp_path)


def test_a_sound_image_has_no_fault(made: Sample, tmp_path: Path) -> None:
    # systemd passes over an init script that has a unit of its name.
    made.write("etc/rc3.d/S01console-setup.sh")
    made.write("usr/lib/systemd/system/console-setup.service")
    made.write("usr/share/man/man5/authorized_keys.5.gz", "a manual")
    # A system's own packages start what a system is; another's unit is masked.
    for package, unit in (("systemd", "systemd-journald.service"), ("alsa-utils", "alsa-restore.service")):
        link = f"lib/systemd/system/sysinit.target.wants/{unit}"
        made.write(f"usr/{link}")
        made.package(package, f"/{link}")
    (made.root / "etc/systemd/system/alsa-restore.service").symlink_to("/dev/null")
    # A package's key is no secret, and a program that reads keys has none.
    made.write("usr/lib/libgnutls.so", f"\0{KEY}")
    made.package("libgnutls30:arm64", "/usr/lib/libgnutls.so")
    made.write("usr/bin/ssh-keygen", "-----BEGIN OPENSSH PRIVATE KEY-----\n\0\0")
    assert check(made.make(), Role.ONSITE, tmp_path / "check") == []


def _swap(made: Sample) -> None:
    made.write("etc/fstab", f"{LAYOUT.fstab()}/swapfile none swap sw 0 0\n")


def _without_machine_id(made: Sample) -> None:
    (made.root / "etc/machine-id").unlink()


def _resolver(made: Sample) -> None:
    made.write("etc/resolv.conf", "nameserver 10.0.0.53\n")


def _open_folder(made: Sample) -> None:
    (made.root / "var/lib/open").mkdir(parents=True)
    (made.root / "var/lib/open").chmod(0o777)


def _disabled(made: Sample) -> None:
    (made.root / "etc/systemd/system/multi-user.target.wants/onsitedev.service").unlink()


def _key_in_our_package(made: Sample) -> None:
    made.write("usr/lib/tundev/signing", KEY)
    made.package("tundev-common", "/usr/lib/tundev/signing")


def _unit_of_a_package(made: Sample) -> None:
    link = "lib/systemd/system/multi-user.target.wants/vendor@1.service"
    made.write(f"usr/{link}")
    made.package("vendor", f"/{link}")


PLANTED: dict[str, tuple[Callable[[Sample], None], str]] = {
    "a host key": (
        lambda made: made.write("etc/ssh/ssh_host_ed25519_key", "x"),
        "/etc/ssh/ssh_host_ed25519_key is one device's own",
    ),
    "a device's key": (
        lambda made: made.write("etc/tundev/id_ed25519", KEY),
        "/etc/tundev/id_ed25519 has a private key",
    ),
    "a machine's id": (
        lambda made: made.write("etc/machine-id", "0" * 32),
        "/etc/machine-id has a machine's id",
    ),
    "no file for the id": (_without_machine_id, "/etc/machine-id is missing"),
    "a password": (
        lambda made: made.write("etc/shadow", "root:$y$j9T$abc:1::::::\n"),
        "account root has a password",
    ),
    "no password needed": (
        lambda made: made.write("etc/shadow", "root::1::::::\n"),
        "account root needs no password",
    ),
    "somebody's key": (
        lambda made: made.write("root/.ssh/authorized_keys", "ssh-ed25519 AAAA"),
        "/root/.ssh/authorized_keys lets somebody log in",
    ),
    "an enrolment key": (
        lambda made: made.write(BOOT_CONFIG, f"enrol_key = '''{KEY}'''"),
        f"/{BOOT_CONFIG} has a private key",
    ),
    "a configuration": (lambda made: made.write(BOOT_CONFIG, "[rdv]\n"), "is a device's configuration"),
    "a unit too many": (
        lambda made: made.enable("rsync.service"),
        "unit rsync.service is enabled and not expected",
    ),
    "an init script": (
        lambda made: made.write("etc/rc3.d/S01resize2fs_once"),
        "unit resize2fs_once (SysV) is enabled and not expected",
    ),
    "a generator": (
        lambda made: made.write("usr/lib/systemd/system-generators/cloud-init-generator", mode=0o755),
        "generator cloud-init-generator starts units that no preset names",
    ),
    "a unit too few": (_disabled, "unit onsitedev.service is expected and not enabled"),
    "an open file": (
        lambda made: made.write("etc/open", mode=0o666),
        "/etc/open may be written by anybody",
    ),
    "an open folder": (_open_folder, "/var/lib/open may be written by anybody"),
    "a setuid program": (
        lambda made: made.write("usr/bin/pkexec", mode=0o4755),
        "/usr/bin/pkexec runs with another's rights",
    ),
    "swap": (_swap, "/etc/fstab has swap: /swapfile"),
    "another disk's root": (
        lambda made: made.write(f"{BOOT_PATH}/cmdline.txt", "root=/dev/mmcblk0p2 ro"),
        "cmdline.txt does not name this image's root",
    ),
    "a writable root": (
        lambda made: made.write(f"{BOOT_PATH}/cmdline.txt", f"{COMMAND_LINE} rw"),
        "cmdline.txt has the root mounted writable",
    ),
    "the builder's resolver": (_resolver, "/etc/resolv.conf is a file"),
    "no date": (lambda made: (made.root / "usr/lib/clock-epoch").unlink(), "/usr/lib/clock-epoch is missing"),
    "root by its password in passwd": (
        lambda made: made.write("etc/passwd", PASSWD.replace("root:x", "root:")),
        "account root has its password, or needs none, in /etc/passwd",
    ),
    "a second root": (
        lambda made: made.write("etc/passwd", f"{PASSWD}admin:x:0:0::/root:/bin/sh\n"),
        "account admin is root by another name",
    ),
    "a key of a program": (
        lambda made: made.write("opt/vendor/agent.conf", f"[agent]\nkey =\n{KEY}"),
        "/opt/vendor/agent.conf has a private key",
    ),
    "a key in a library": (
        lambda made: made.write("usr/lib/x/blob", "x" * 5000 + KEY.replace("\n", "\\n")),
        "/usr/lib/x/blob has a private key",
    ),
    "a key of ours": (_key_in_our_package, "/usr/lib/tundev/signing has a private key"),
    "a key by its name": (
        lambda made: made.write("home/pi/.ssh/id_ed25519", "x"),
        "/home/pi/.ssh/id_ed25519 is somebody's key, by its name",
    ),
    "a random seed": (
        lambda made: made.write("var/lib/systemd/random-seed", "x"),
        "/var/lib/systemd/random-seed is one device's own",
    ),
    "NetworkManager's secret": (
        lambda made: made.write("var/lib/NetworkManager/secret_key", "x"),
        "/var/lib/NetworkManager/secret_key is one device's own",
    ),
    "a connection": (
        lambda made: made.write("etc/NetworkManager/system-connections/home", "[wifi-security]\npsk=x\n"),
        "/etc/NetworkManager/system-connections/home is somebody's connection",
    ),
    "a connection below usr": (
        lambda made: made.write("usr/lib/NetworkManager/system-connections/preconfigured.nmconnection"),
        "preconfigured.nmconnection is somebody's connection",
    ),
    "wpa_supplicant's network": (
        lambda made: made.write("etc/wpa_supplicant/wpa_supplicant.conf", 'network={\n  psk="x"\n}\n'),
        "/etc/wpa_supplicant/wpa_supplicant.conf has a network of somebody's",
    ),
    "the builder's name": (
        lambda made: made.write("etc/hostname", "buildhost\n"),
        "/etc/hostname does not name the device as every image does",
    ),
    "the builder's history": (
        lambda made: made.write("root/.bash_history", "x"),
        "/root/.bash_history is the builder's",
    ),
    "a package's list": (
        lambda made: made.write("var/lib/apt/lists/deb.debian.org_InRelease"),
        "/var/lib/apt/lists/deb.debian.org_InRelease was left by an installation",
    ),
    "a unit by no package": (
        lambda made: made.write("usr/lib/systemd/system/multi-user.target.wants/evil.service"),
        "unit evil.service is enabled and not expected",
    ),
    "a unit by a package": (
        _unit_of_a_package,
        "unit vendor@.service is enabled and not expected",
    ),
}


OTHERS = (
    "no file for the id",
    "no password needed",
    "a configuration",
    "a writable root",
    "a unit too few",
    "a second root",
)
"""Faults that take the place of another one of these in the same file."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is said of two images that have all faults between them, by fault."""
    said: dict[str, list[str]] = {}
    for faults in (OTHERS, [fault for fault in PLANTED if fault not in OTHERS]):
        folder = tmp_path_factory.mktemp("faults")
        spoilt = sample(folder)
        for fault in faults:
            PLANTED[fault][0](spoilt)
        said |= dict.fromkeys(faults, check(spoilt.make(), Role.ONSITE, folder / "check"))
        assert not (folder / "check").exists()
    return said


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named(found: dict[str, list[str]], fault: str) -> None:
    assert any(PLANTED[fault][1] in text for text in found[fault]), found[fault]


def test_no_fault_is_named_that_was_not_planted(found: dict[str, list[str]]) -> None:
    # A device's key is of one device and a key, a bundle's a configuration and a key.
    assert len(found["a password"]) == len(PLANTED) - len(OTHERS) + 2
    assert len(found["no password needed"]) == len(OTHERS)


def test_the_build_fails_with_every_fault_named(
    made: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for fault in ("a host key", "a password", "a unit too many"):
        PLANTED[fault][0](made)
    with pytest.raises(FaultFound, match="has 3 faults"):
        accept(made.make(), Role.ONSITE, tmp_path / "check")
    said = capsys.readouterr().out
    assert said.count("fault:") == 3
    assert "rsync.service" in said


def test_another_role_s_units_are_faults(made: Sample, tmp_path: Path) -> None:
    found = check(made.make(), Role.MASTER, tmp_path / "check")
    assert "unit onsitedev.service is enabled and not expected" in found
    assert "unit masterdev.service is enabled and not expected" not in found


@pytest.mark.parametrize("raspberry", [False, True])
def test_an_image_that_its_card_cannot_hold_is_a_fault(made: Sample, tmp_path: Path, raspberry: bool) -> None:
    if raspberry:
        made.write("etc/apt/sources.list.d/raspi.list", "deb http://archive.raspberrypi.com/debian/ x main\n")
    image = made.make()
    os.truncate(image, SIZE_LIMIT[raspberry])
    assert check(image, Role.ONSITE, tmp_path / "check") == []
    os.truncate(image, SIZE_LIMIT[raspberry] + 1)
    (fault,) = check(image, Role.ONSITE, tmp_path / "check")
    assert fault.startswith("the image is ")


def test_a_broken_file_system_is_a_fault(made: Sample, tmp_path: Path) -> None:
    image = made.make()
    with image.open("r+b") as disk:
        disk.seek(LAYOUT.partitions[1].start + 4096)  # the group descriptors, behind the first block
        disk.write(b"\xff" * 64)
    try:
        found = check(image, Role.ONSITE, tmp_path / "check")
    except Exception as error:  # either way it is not accepted
        found = [str(error)]
    assert any("file system" in text for text in found), found


def test_what_is_no_image_of_ours_is_said_so(tmp_path: Path) -> None:
    image = tmp_path / "tundev-onsite-arm64.img"
    image.write_bytes(bytes(4096))
    assert check(image, Role.ONSITE, tmp_path / "check") == [
        "tundev-onsite-arm64.img is no image of ours: no partition table"
    ]


def test_the_command_tells_faults_to_programs_too(made: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    PLANTED["a host key"][0](made)
    image = made.make()
    assert check_command.main([str(image), "--json"]) == FaultFound.exit_code
    assert json.loads(capsys.readouterr().out)["faults"] == [
        "/etc/ssh/ssh_host_ed25519_key is one device's own"
    ]
    assert [path.name for path in image.parent.glob(".check-*")] == []


def test_the_command_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_command.main([str(tmp_path / "card.img")]) == 2
    assert "--role" in capsys.readouterr().err
    assert check_command.main([str(tmp_path / "tundev-master-arm64.img")]) == 14
    said = run([str(Path(check_command.__file__).with_name("check")), "--help"])
    assert "examples:" in said

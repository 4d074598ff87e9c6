"""What a build is made from, how it goes on, and what it says."""

from __future__ import annotations

import itertools
import json
import lzma
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from image import build, deliver, inventory, pigen
from image.depends import needed
from image.finish import finish, mask_strangers, strip
from image.initrd import loading_order, make_initrd
from image.layout import MIB, Layout
from image.progress import Progress, table
from image.recipe import CONFIG, Arch, Base, Pin, Recipe, Release, beside, keys
from tests.unit.image.sample import sample
from vtunlib.errors import NotFound, UsageError
from vtunlib.run import run
from vtunlib.tunnel import Role


def test_each_architecture_has_a_pin() -> None:
    for recipe in (
        *(Recipe(Role.ONSITE, arch) for arch in Arch),
        Recipe(Role.ONSITE, release=Release.TRIXIE),
        Recipe(Role.ONSITE, base=Base.DEBIAN, release=Release.TRIXIE),
    ):
        pin = recipe.pin()
        assert len(pin.commit) == 40
        assert pin.repository.startswith("https://")


def test_pi_gen_s_own_stages_are_of_the_release() -> None:
    branches = {release: Recipe(Role.ONSITE, release=release).pin().branch for release in Release}
    assert len(set(branches.values())) == len(Release)


def test_a_release_has_builds_and_files_of_its_own() -> None:
    recipes = [Recipe(Role.ONSITE, base=Base.DEBIAN, release=release) for release in Release]
    assert [recipe.name for recipe in recipes] == [
        "tundev-onsite-arm64-debian",
        "tundev-onsite-arm64-debian-trixie",
    ]
    assert len({recipe.system for recipe in recipes}) == len(recipes)


def test_there_is_no_vtun_for_trixie_s_32_bits() -> None:
    with pytest.raises(UsageError, match="vtun"):
        Recipe(Role.ONSITE, Arch.ARMHF, release=Release.TRIXIE)


def test_there_is_no_debian_base_for_32_bits() -> None:
    with pytest.raises(UsageError, match="armhf"):
        Recipe(Role.ONSITE, Arch.ARMHF, Base.DEBIAN)


@pytest.mark.parametrize("base", list(Base))
def test_our_stage_is_the_last_one_of_either_base(base: Base) -> None:
    stages = Recipe(Role.MASTER, base=base).stages(Path("/pi-gen"), Path("/ours"))
    assert stages[-1] == Path("/ours/stage-master")
    assert (base == Base.DEBIAN) == (Path("/pi-gen/stage0") not in stages)


def _stages(folder: Path) -> list[Path]:
    stages = [folder / "stage0", folder / "stage-onsite"]
    for stage in stages:
        (stage / "00").mkdir(parents=True)
        (stage / "00/00-run.sh").write_text("#!/bin/sh\n")
    return stages


def test_a_stage_is_done_again_when_something_below_it_or_in_it_changes(tmp_path: Path) -> None:
    stages = _stages(tmp_path)
    deb = tmp_path / "a.deb"
    deb.write_text("1")
    first = keys(stages, ["pin"], [deb])
    (stages[0] / "SKIP").touch()
    assert keys(stages, ["pin"], [deb]) == first, "what the build itself lays down does not count"
    deb.write_text("2")
    second = keys(stages, ["pin"], [deb])
    assert second["stage0"] == first["stage0"]
    assert second["stage-onsite"] != first["stage-onsite"]
    (stages[0] / "00/00-run.sh").chmod(0o755)
    third = keys(stages, ["pin"], [deb])
    assert third["stage0"] != second["stage0"]
    assert third["stage-onsite"] != second["stage-onsite"]
    assert keys(stages, ["another pin"], [deb])["stage0"] != third["stage0"]


@pytest.mark.parametrize("base", list(Base))
def test_the_product_is_done_again_when_a_file_of_ours_changes_that_is_in_no_stage(
    tmp_path: Path, base: Base
) -> None:
    """Whichever its scripts read: lists of programs and of units, and, for either base, the kernel's pin."""
    ours = tmp_path / "ours"
    shutil.copytree(CONFIG, ours)
    recipe = Recipe(Role.ONSITE, base=base)
    (ours / "stage-tundev").rename(ours / recipe.product)
    stages = recipe.stages(tmp_path / "pi-gen", ours)
    read = beside(stages, ours)
    scripts = "".join(path.read_text() for path in (ours / recipe.product).rglob("*.sh"))
    named = re.findall(r"\$\{TUNDEV_CONFIG\}/([^\"$\s]+)", scripts)
    assert {"setuid", "common.preset", "stage-debian/00-apt/files/hold.pref"} <= set(named)
    in_a_stage = {path for stage in stages for path in stage.rglob("*")}
    assert {ours / name for name in named} <= {*read, *in_a_stage}
    before = keys(stages, [], read)
    (ours / "setuid").write_text("/usr/bin/another\n")
    after = keys(stages, [], read)
    assert [stage.name for stage in stages if before[stage.name] != after[stage.name]] == [recipe.product]


def test_a_role_has_a_stage_of_its_own_for_what_only_its_packages_need(tmp_path: Path) -> None:
    recipe = Recipe(Role.MASTER, base=Base.DEBIAN)
    shared = [tmp_path / "stage-debian", tmp_path / "stage-depends"]
    assert recipe.stages(tmp_path, tmp_path) == [*shared, tmp_path / "stage-master"]
    own = tmp_path / "stage-depends-master"
    own.mkdir()
    assert recipe.stages(tmp_path, tmp_path) == [*shared, own, tmp_path / "stage-master"]


def test_the_packages_must_be_built_first(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="make deb"):
        build.packages_in(Recipe(Role.ONSITE), tmp_path)


LOG = """\
[10:00:00] Begin /b/pi-gen
[10:00:00] Begin /b/ours/stage-debian
[10:00:00] Begin /b/ours/stage-debian/prerun.sh
I: running debootstrap
[10:02:10] End /b/ours/stage-debian/prerun.sh
[10:02:15] End /b/ours/stage-debian
[10:02:15] Begin /b/ours/stage-tundev
[10:02:15] Begin /b/ours/stage-tundev/00-packages
[10:02:15] Begin /b/ours/stage-tundev/00-packages/00-run.sh
E: no space left on device
"""


def test_progress_tells_the_step_and_what_each_stage_took() -> None:
    progress = Progress("/b/pi-gen")
    ended = [path for now, line in enumerate(LOG.splitlines()) if (path := progress.take(line, float(now)))]
    assert ended == ["/b/ours/stage-debian/prerun.sh", "/b/ours/stage-debian"]
    assert progress.current == "stage-tundev/00-packages/00-run.sh"
    assert progress.depth == 3
    assert [(step.name, step.depth) for step in progress.ended] == [
        ("stage-debian/prerun.sh", 1),
        ("stage-debian", 0),
    ]
    assert [line.split() for line in table(progress.ended).splitlines()] == [
        ["4", "s", "stage-debian"],
        ["2", "s", "stage-debian/prerun.sh"],
        ["4", "s", "together"],
    ]


def test_pi_gen_is_taken_at_its_pin_from_a_clone(tmp_path: Path) -> None:
    clone, target = tmp_path / "clone", tmp_path / "pi-gen"
    clone.mkdir()
    git = ["git", "-C", str(clone), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    run([*git, "init", "--quiet"])
    commits = []
    for text in ("pinned", "newer"):
        (clone / "build.sh").write_text(text)
        run([*git, "add", "build.sh"])
        run([*git, "commit", "--quiet", "--message", text])
        commits.append(run([*git, "rev-parse", "HEAD"]).strip())
    pin = Pin("https://pi-gen.invalid/pi-gen", "bookworm", commits[0])
    pigen.checked_out(pin, target, clone)
    assert (target / "build.sh").read_text() == "pinned"
    (target / "build.sh").write_text("touched")
    (target / "SKIP").touch()
    pigen.checked_out(pin, target, clone)
    assert (target / "build.sh").read_text() == "pinned"
    assert not (target / "SKIP").exists()
    with pytest.raises(NotFound, match="no commit 000000000000"):
        pigen.checked_out(Pin(pin.repository, "bookworm", "0" * 40), target, clone)


def test_what_packages_need_is_read_without_versions_and_alternatives() -> None:
    assert needed("a (>= 1) | b, c:any, d [arm64], ", ()) == ["a", "c", "d"]


def test_an_alternative_that_is_among_the_packages_is_enough() -> None:
    field = "tundev-onsite | tundev-master, tundev-common (= 1), fdisk"
    assert needed(field, {"tundev-master", "tundev-common"}) == ["fdisk"]


MODULES_DEP = """\
kernel/fs/jbd2/jbd2.ko:
kernel/fs/mbcache.ko:
kernel/fs/ext4/ext4.ko: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko
kernel/lib/crc16.ko:
kernel/drivers/block/virtio-blk.ko:
"""
BUILTIN = "kernel/drivers/mmc/core/mmc_block.ko\n"


def test_a_module_is_loaded_after_what_it_needs_and_once_and_a_built_in_one_not() -> None:
    order = loading_order(MODULES_DEP, BUILTIN, ("virtio_blk", "mmc_block", "ext4", "jbd2"))
    assert order == [
        "kernel/drivers/block/virtio-blk.ko",
        "kernel/lib/crc16.ko",
        "kernel/fs/jbd2/jbd2.ko",
        "kernel/fs/mbcache.ko",
        "kernel/fs/ext4/ext4.ko",
    ]


def test_a_module_that_the_kernel_has_not_is_named() -> None:
    with pytest.raises(NotFound, match="no module xfs"):
        loading_order(MODULES_DEP, BUILTIN, ("xfs",))


def test_a_module_that_the_kernel_s_package_compressed_is_in_the_initrd_as_it_is_loaded(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    modules = root / "lib/modules/6.12"
    for folder in (root / "boot", root / "bin", modules / "kernel"):
        folder.mkdir(parents=True)
    (root / "boot/vmlinuz-6.12").touch()
    (root / "bin/busybox").write_text("busybox")
    (modules / "modules.dep").write_text("kernel/ext4.ko.xz: kernel/jbd2.ko\nkernel/jbd2.ko:\n")
    (modules / "modules.builtin").touch()
    (modules / "kernel/ext4.ko.xz").write_bytes(lzma.compress(b"ext4's code"))
    (modules / "kernel/jbd2.ko").write_bytes(b"jbd2's code")
    make_initrd(root, tmp_path / "initrd", tmp_path / "work", ("ext4",))
    run(["cpio", "--extract", "--quiet", f"--directory={root}", f"--file={tmp_path / 'initrd'}"])
    assert (root / "modules/ext4.ko").read_bytes() == b"ext4's code"
    assert (root / "modules/jbd2.ko").read_bytes() == b"jbd2's code"
    assert "for module in jbd2.ko ext4.ko;" in (root / "init").read_text()


def test_a_compressed_image_is_unpacked_with_its_holes(tmp_path: Path) -> None:
    image = tmp_path / "image.img"
    with image.open("wb") as made:
        made.truncate(8 << 20)
        made.seek(5 << 20)
        made.write(b"written")
    run(["xz", "--keep", str(image)])
    deliver.unpacked(tmp_path / "image.img.xz", tmp_path / "card.img")
    assert (tmp_path / "card.img").read_bytes() == image.read_bytes()
    assert (tmp_path / "card.img").stat().st_blocks < 1024
    assert {path.name for path in tmp_path.iterdir()} == {"image.img", "image.img.xz", "card.img"}


def test_what_the_imager_is_told_of_an_image_is_in_the_folder_that_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_URL", "https://images.example.com/tundev/")
    image, dist = _product(tmp_path, b""), tmp_path / "dist"
    dist.mkdir()
    made = deliver.deliver(image, Recipe(Role.ONSITE), tmp_path, dist, "0.2.0")
    assert sorted(made) == sorted(dist.iterdir())
    (entry,) = json.loads((dist / "tundev-onsite-arm64.imager.json").read_text())["os_list"]
    for key in ("url", "icon"):
        folder, _, name = entry[key].rpartition("/")
        assert folder == "https://images.example.com/tundev"
        assert (dist / name).stat().st_size
    assert entry["extract_size"] == 1 << 20
    run(["sha256sum", "--check", "--status", "tundev-onsite-arm64.img.xz.sha256"], folder=dist)
    assert entry["image_download_sha256"] == (dist / "tundev-onsite-arm64.img.xz.sha256").read_text()[:64]


def _product(folder: Path, content: bytes) -> Path:
    """A root with its packages' list, and an image of that content with a hole behind it."""
    (folder / inventory.STATUS).parent.mkdir(parents=True, exist_ok=True)
    (folder / inventory.STATUS).write_text(STATUS)
    image = folder / "x.img"
    image.write_bytes(content)
    os.truncate(image, 1 << 20)
    return image


def test_a_card_written_by_the_block_map_is_the_image(tmp_path: Path) -> None:
    dist, card = tmp_path / "dist", tmp_path / "card"
    dist.mkdir()
    image = _product(tmp_path, b"written" * 1000)
    with image.open("r+b") as file:
        file.seek(700_000)
        file.write(b"and here")
    packed, *_ = deliver.deliver(image, Recipe(Role.ONSITE), tmp_path, dist, "0.2.0")
    run(["bmaptool", "copy", "--bmap", str(dist / "tundev-onsite-arm64.bmap"), str(packed), str(card)])
    assert card.read_bytes() == image.read_bytes()
    assert card.stat().st_blocks * 512 < 1 << 18, "what is empty is not written"


def _delivered_until(step: int, image: Path, root: Path, dist: Path) -> bool:
    """Deliver in a process that dies before its `step`th change of a name in `dist`; whether it lived."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    left = step

    def die(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in {"os.rename", "os.remove"} and dist in {Path(str(path)).parent for path in arguments}:
            left -= 1
            if not left:
                os._exit(1)

    sys.addaudithook(die)
    try:
        deliver.deliver(image, Recipe(Role.ONSITE), root, dist, "0.2.0")
        os._exit(0)
    finally:
        os._exit(2)


def test_a_delivery_that_is_cut_leaves_no_image_beside_another_ones_files(tmp_path: Path) -> None:
    former = tmp_path / "former"
    former.mkdir()
    deliver.deliver(_product(tmp_path, b"former"), Recipe(Role.ONSITE), tmp_path, former, "0.1.0")
    image, name, lived, seen = _product(tmp_path, b"new"), "tundev-onsite-arm64", False, set()
    for step in itertools.count(1):
        dist = tmp_path / str(step)
        shutil.copytree(former, dist)
        lived = _delivered_until(step, image, tmp_path, dist)
        is_new = (dist / f"{name}.img.xz").read_bytes() != (former / f"{name}.img.xz").read_bytes()
        if (dist / f"{name}.img.xz.sha256").exists():
            run(["sha256sum", "--check", "--status", f"{name}.img.xz.sha256"], folder=dist)
        for file in dist.glob(f"{name}.*"):
            if file.suffix in {".bmap", ".json"} and "spdx" not in file.name:
                assert (file.read_bytes() != (former / file.name).read_bytes()) == is_new, (step, file.name)
        seen.add(is_new)
        if lived:
            break
    assert seen == {False, True}
    assert {path.name for path in dist.iterdir()} == {path.name for path in former.iterdir()}


STATUS = """\
Package: vtun
Status: install ok installed
Maintainer: A <a@example.com>
Architecture: arm64
Source: vtun-src (1.0)
Version: 3.0.4-2+b1
Description: tunnels
 Package: not a field

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""


def test_the_inventory_is_what_dpkg_has_installed(tmp_path: Path) -> None:
    status = tmp_path / inventory.STATUS
    status.parent.mkdir(parents=True)
    status.write_text(STATUS)
    installed = inventory.packages(tmp_path)
    assert inventory.listing(installed) == "vtun\t3.0.4-2+b1\tarm64\n"
    made = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    document = json.loads(inventory.sbom("tundev-onsite-arm64", "0.1.0", installed, made))
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["creationInfo"]["created"] == "2026-01-02T03:04:05Z"
    image, vtun = document["packages"]
    assert (image["name"], vtun["name"]) == ("tundev-onsite-arm64", "vtun")
    assert vtun["externalRefs"][0]["referenceLocator"] == "pkg:deb/debian/vtun@3.0.4-2%2Bb1?arch=arm64"
    identifiers = {package["SPDXID"] for package in document["packages"]} | {"SPDXRef-DOCUMENT"}
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= identifiers


def test_pi_gen_finds_each_step_of_our_stages() -> None:
    """It runs no script that is not executable, and no name that is not of its form."""
    scripts = sorted(CONFIG.rglob("*.sh"))
    assert scripts
    for script in scripts:
        assert script.stat().st_mode & 0o111, script
        assert script.name == "prerun.sh" or script.name[2:] == "-run.sh", script


def test_no_boot_of_a_finished_root_finds_anything_to_update_or_of_the_builder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for folder in ("etc", "var", "usr/lib"):
        (root / folder).mkdir(parents=True)
    (root / "usr/lib/os-release").write_text("ID=debian\nIMAGE_ID=old\n")
    (root / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n")
    (root / "etc/ld.so.preload.disabled").write_text("/usr/lib/arm/libarmmem.so\n")
    strip(root)
    finish(root, Recipe(Role.ONSITE), Layout(0x1234ABCD, 64 * MIB), "1.0")
    for folder in ("etc", "var"):
        # systemd.unit(5), ConditionNeedsUpdate=.
        assert (root / folder / ".updated").stat().st_mtime_ns > (root / "usr").stat().st_mtime_ns
    assert (root / "etc/resolv.conf").is_symlink()
    assert (root / "etc/ld.so.preload").exists()
    assert "IMAGE_ID=tundev-onsite-arm64\n" in (root / "usr/lib/os-release").read_text()
    assert "old" not in (root / "usr/lib/os-release").read_text()


def test_what_a_package_starts_by_itself_is_masked_but_the_system(tmp_path: Path) -> None:
    root = sample(tmp_path).root
    wants = "lib/systemd/system/multi-user.target.wants"
    for package, unit in (
        ("systemd", "getty.target"),
        ("vendor:arm64", "v@1.service"),
        ("ours", "ssh.service"),
    ):
        (root / "usr" / wants).mkdir(parents=True, exist_ok=True)
        (root / "usr" / wants / unit).touch()
        (root / inventory.INFO).mkdir(parents=True, exist_ok=True)
        (root / inventory.INFO / f"{package}.list").write_text(f"/.\n/{wants}/{unit}\n")
    before = set((root / "etc/systemd/system").iterdir())
    for _ in range(2):  # an export may be made again
        mask_strangers(root, Role.ONSITE)
        (made,) = set((root / "etc/systemd/system").iterdir()) - before
        assert (made.name, str(made.readlink())) == ("v@1.service", "/dev/null")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "ROLE"),
        (["router"], "'router'"),
        (["onsite", "--arch", "i386"], "'i386'"),
        (["onsite", "--base", "debian", "--arch", "armhf"], "build BASE=rpios for armhf"),
        (["onsite", "--pigen", "/no/where"], "no folder /no/where"),
    ],
)
def test_words_that_nothing_can_be_built_by_are_told_before_anything_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    there = ["--dist", str(tmp_path / "dist"), "--build", str(tmp_path / "build")]
    try:
        code = build.main([*words, *there, "--check"])
    except SystemExit as ended:  # argparse's
        code = int(ended.code or 0)
    assert code
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_asking_whether_an_image_can_be_built_builds_nothing(tmp_path: Path) -> None:
    there = ["--dist", str(tmp_path / "dist"), "--build", str(tmp_path / "build")]
    assert build.main(["onsite", *there, "--check"]) == 0
    assert not list(tmp_path.iterdir())

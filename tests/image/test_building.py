"""How a build goes on after a failure, with stages that take no time and the stand-in for pi-gen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from image.build import build
from image.recipe import SHARED_PACKAGES, Base, Recipe
from tests.image.card import STAND_IN
from tests.lab.process import run
from vtunlib.errors import NotFound, RdvError
from vtunlib.tunnel import Role

RECIPE = Recipe(Role.ONSITE, base=Base.DEBIAN)
COPY = "copy_previous"
SCRIPTS = {
    # Nothing runs in this root: the list of what is needed is empty.
    "stage-debian/prerun.sh": 'mkdir -p "${ROOTFS_DIR}"; echo system >>"${ROOTFS_DIR}/made"',
    "stage-depends/prerun.sh": f'{COPY}; echo depends >>"${{ROOTFS_DIR}}/made"',
    "stage-tundev/prerun.sh": COPY,
    "stage-tundev/00-packages/00-run.sh": 'echo "${TUNDEV_PACKAGES}" >>"${ROOTFS_DIR}/made"',
    "export/prerun.sh": COPY,
    "export/00-image/00-run.sh": 'cp "${ROOTFS_DIR}/made" "${STAGE_WORK_DIR}/${IMG_NAME}.img"',
}
MADE = "system\ndepends\npython3-vtunlib tundev-common tundev-image tundev-onsite\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Our stages, as small as they can be."""
    folder = tmp_path / "config"
    for name, text in SCRIPTS.items():
        script(folder / name, text)
    for role in Role:
        (folder / f"{role}.conf").write_text("")
    return folder


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash -e\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Packages without anything in them."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in (*SHARED_PACKAGES, *(f"tundev-{role}" for role in Role)):
        control = tmp_path / name / "DEBIAN/control"
        control.parent.mkdir(parents=True)
        fields = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\n"
        control.write_text(f"{fields}Description: nothing\n")
        run(
            [
                "dpkg-deb",
                "--build",
                "--root-owner-group",
                str(tmp_path / name),
                str(folder / f"{name}_1_all.deb"),
            ]
        )
    return folder


def _lay_out(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(STAND_IN, target)


def _build(tmp_path: Path, dist: Path, config: Path, recipe: Recipe = RECIPE) -> str:
    return build(recipe, dist, tmp_path / "top", _lay_out, config=config).read_text()


def test_a_build_that_failed_is_told_by_its_stage_and_goes_on_there(
    tmp_path: Path, dist: Path, config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    step = config / "stage-tundev/00-packages/00-run.sh"
    script(step, "echo half >>${ROOTFS_DIR}/made; echo 'no space left on the moon'; exit 3")
    with pytest.raises(RdvError, match=r"failed in stage-onsite/00-packages/00-run\.sh.*build\.log"):
        _build(tmp_path, dist, config)
    said = capfd.readouterr()
    assert "no space left on the moon" in said.err
    assert "s  stage-debian" in said.out, "what each stage took"

    script(step, SCRIPTS["stage-tundev/00-packages/00-run.sh"])
    assert _build(tmp_path, dist, config) == MADE, "the half that was made of the stage is gone"
    said = capfd.readouterr()
    assert "stage-debian is built already" in said.out
    assert "stage-depends is built already" in said.out
    assert "stage-onsite is built already" not in said.out

    assert _build(tmp_path, dist, config) == MADE
    assert "stage-onsite is built already" in capfd.readouterr().out


def test_a_stage_that_was_changed_and_changed_back_while_it_failed_is_made_anew(
    tmp_path: Path, dist: Path, config: Path
) -> None:
    assert _build(tmp_path, dist, config) == MADE
    step = config / "stage-tundev/00-packages/00-run.sh"
    script(step, "echo half >>${ROOTFS_DIR}/made; exit 3")
    with pytest.raises(RdvError):
        _build(tmp_path, dist, config)
    script(step, SCRIPTS["stage-tundev/00-packages/00-run.sh"])
    assert _build(tmp_path, dist, config) == MADE


def test_what_both_roles_need_is_made_once(
    tmp_path: Path, dist: Path, config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _build(tmp_path, dist, config) == MADE
    capfd.readouterr()
    master = Recipe(Role.MASTER, base=Base.DEBIAN)
    assert _build(tmp_path, dist, config, master) == MADE.replace("onsite", "master")
    said = capfd.readouterr().out
    assert "stage-debian is built already" in said
    assert "stage-depends is built already" in said


def test_no_build_begins_without_the_packages(tmp_path: Path, dist: Path, config: Path) -> None:
    (dist / "tundev-common_1_all.deb").unlink()
    with pytest.raises(NotFound, match="0 packages tundev-common"):
        _build(tmp_path, dist, config)


def test_only_the_product_is_exported(tmp_path: Path, dist: Path, config: Path) -> None:
    """pi-gen exports each stage that asks for it, as its own stage 2 does, unless it is told not to."""
    _build(tmp_path, dist, config)
    told = (tmp_path / "top/pi-gen-config").glob("*/SKIP_IMAGES")
    assert {path.parent.name for path in told} == {"stage-debian", "stage-depends"}

"""A small root that an image's checks have nothing to say about, and images of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from image.assemble import assemble
from image.finish import names
from image.inventory import INFO
from image.layout import BOOT_PATH, MIB, Layout
from image.recipe import CONFIG
from vtunlib.tunnel import Role

LAYOUT = Layout(0x1234ABCD, 64 * MIB)
COMMAND_LINE = "console=tty0 root=PARTUUID=1234abcd-02 rw rootwait ro"
PASSWD = "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n"
FOLDERS = (
    "etc/systemd/system/multi-user.target.wants",
    "usr/lib/systemd/system",
    "usr/bin",
    "tmp",
    BOOT_PATH,
)


@dataclass(frozen=True)
class Sample:
    """A root folder that a test may spoil before it makes the image of it."""

    root: Path
    image: Path
    work: Path

    def write(self, path: str, text: str = "", mode: int = 0o644) -> None:
        """A file of the root, and the folders that it is in."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)

    def package(self, name: str, *paths: str) -> None:
        """It has these paths, as dpkg lists them."""
        self.write(f"{INFO}/{name}.list", "".join(f"{path}\n" for path in ("/.", *paths)))

    def enable(self, unit: str) -> None:
        """As systemctl does it."""
        link = self.root / f"etc/systemd/system/multi-user.target.wants/{unit}"
        link.symlink_to(f"/lib/systemd/system/{unit}")

    def make(self) -> Path:
        """The image."""
        assemble(self.root, LAYOUT, self.image, self.work)
        return self.image


def sample(folder: Path) -> Sample:
    """A sound root of an onsite, in an empty folder."""
    made = Sample(folder / "rootfs", folder / "tundev-onsite-arm64.img", folder / "work")
    for name in FOLDERS:
        (made.root / name).mkdir(parents=True)
    (made.root / "tmp").chmod(0o1777)
    made.write("etc/machine-id", mode=0o444)
    made.write("etc/passwd", PASSWD)
    for path, text in names(Role.ONSITE).items():
        made.write(path, text)
    made.write("etc/shadow", "root:*:1:0:99999:7:::\nwww-data:!:1::::::\n", 0o640)
    made.write("etc/fstab", LAYOUT.fstab())
    made.write("usr/lib/clock-epoch")
    made.write("usr/bin/passwd", mode=0o4755)
    made.write(f"{BOOT_PATH}/cmdline.txt", COMMAND_LINE)
    (made.root / "etc/resolv.conf").symlink_to("/run/NetworkManager/resolv.conf")
    for file in (CONFIG / "common.preset", CONFIG / "onsite.preset"):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("enable "):
                unit = line.split()[1].replace("?", "\\")
                made.write(f"usr/lib/systemd/system/{unit}", "[Install]\nWantedBy=multi-user.target\n")
                made.enable(unit.replace("@.", "@tty1."))
    return made

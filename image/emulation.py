"""Programs of the device's architecture on the building machine, and everything a build mounts.

Both live in mount and process namespaces of the one command that needs them: what it
mounted and started goes with it, also when it is killed. The kernel's binfmt_misc runs the
programs by QEMU's user emulation, registered as Debian's qemu-user-static has it for
systemd-binfmt; where nobody else has binfmt_misc mounted, the registration goes too.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from image.recipe import Arch

_NATIVE = {Arch.ARM64: ("aarch64",), Arch.ARMHF: ("aarch64", "armv7l")}
_HANDLER = {Arch.ARM64: "qemu-aarch64", Arch.ARMHF: "qemu-arm"}

_EMULATING = r"""
set -eu
handler=$1 name=$2
shift 2
register=/proc/sys/fs/binfmt_misc
[ -e $register/register ] || mount -t binfmt_misc binfmt_misc $register
if [ "$handler" != native ]; then
    sed "s/^:$handler:/:$name:/" /usr/lib/binfmt.d/$handler.conf > $register/register
    trap 'echo -1 > $register/$name' EXIT
fi
"$@"
"""


def emulating(argv: Sequence[str], arch: Arch) -> list[str]:
    """`argv` so that programs of `arch` run in it."""
    handler = "native" if platform.machine() in _NATIVE[arch] else _HANDLER[arch]
    namespaces = ["--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc"]
    # A name of one's own: what another build registers, and takes away again, is not ours.
    name = f"tundev-{os.getpid()}"
    # Whatever ends the build ends this, and with the first process of its namespace all others.
    ended = ["setpriv", "--pdeathsig", "KILL"]
    return [*ended, "unshare", *namespaces, "sh", "-c", _EMULATING, "sh", handler, name, *argv]

"""A host on a customer's LAN: a web camera with an SSH server, as plain programs."""

from __future__ import annotations

import shlex
from ipaddress import IPv4Interface
from pathlib import Path

from tests.lab.host import Host, Switch
from tests.lab.process import run
from tests.lab.topology import DOWNLOAD, DOWNLOAD_BYTES, Site

_SSHD = """\
Port 22
HostKey {path}/host_key
AuthorizedKeysFile {path}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
ForceCommand echo {answer}
"""


class Camera(Host):
    """Its page names the camera and the site; DOWNLOAD is 100 MB of zeros."""

    site: Site

    def page(self) -> str:
        """What the web server shows at /."""
        return f"<html><title>{self.name}</title><h1>{self.name} of {self.site.lan.name}</h1></html>\n"

    def connect(self, switch: Switch, address: IPv4Interface) -> None:
        """Plug it in, with a fixed address as such devices have."""
        switch.plug(self, "eth0")
        self.ip(f"addr add {address} dev eth0", f"route add default via {self.site.lan.router.ip}")

    def serve(self, authorized_key: str) -> None:
        """HTTP on 80 and SSH on 22; returns when both listen."""
        pages = self.path / "pages"
        pages.mkdir()
        (pages / "index.html").write_text(self.page(), encoding="utf-8")
        with (pages / DOWNLOAD).open("wb") as file:
            file.truncate(DOWNLOAD_BYTES)
        (self.path / "authorized_keys").write_text(authorized_key, encoding="utf-8")
        make_key(self.path / "host_key")
        answer = shlex.quote(f"ssh server of {self.name}")
        config = self.path / "sshd_config"
        config.write_text(_SSHD.format(path=self.path, answer=answer), encoding="utf-8")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, made by systemd where it runs
        web = self.start(["/usr/bin/python3", "-u", "-m", "http.server", "80", "--directory", str(pages)])
        ssh = self.start(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)])
        web.wait_line("Serving HTTP")
        ssh.wait_line("Server listening on 0.0.0.0")


def make_key(path: Path) -> str:
    """An ed25519 key pair in `path` and `path`.pub; the public line."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.parent.name, "-f", str(path)])
    return path.with_name(f"{path.name}.pub").read_text(encoding="utf-8")

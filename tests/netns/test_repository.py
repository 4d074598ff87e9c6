"""New packages out of a real apt repository: what is taken from it, and what of one changes nothing."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.lab import signer as signing
from tests.lab.signer import Signer
from tests.unit.tundev.test_config import RDV
from tundev import config
from tundev import config_values as forms
from tundev.appliance import packages, repository
from tundev.config import Updates
from tundev.proxy import Proxy
from vtunlib.errors import RdvError

NAMES = ["python3-vtunlib", "tundev-common"]


@pytest.fixture
def signer() -> Iterator[Signer]:
    with signing.signer() as made:
        yield made


def publish(signer: Signer, tmp_path: Path, url: str) -> Updates:
    """The packages of tmp_path/dist, to be served from tmp_path/served."""
    table = signer.publish(tmp_path / "dist", tmp_path / "served", url)
    updates = config.parse(f"{RDV}{table}", "tundev.toml").updates
    assert updates is not None
    return updates


@pytest.fixture
def memory() -> Iterator[Path]:
    """As a device's /run: apt's own user gets into it."""
    with tempfile.TemporaryDirectory(prefix="memory.", dir="/run") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        assert not list(Path(name).iterdir())  # whatever has happened


@contextmanager
def served(folder: Path, proxied: list[str] | None = None) -> Iterator[str]:
    """The folder by HTTP, its address; as by a proxy for any host, where `proxied` takes who asked it."""

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return super().translate_path(re.sub(r"^http://[^/]*", "", path))

        def do_GET(self) -> None:
            if proxied is not None:
                proxied.append(self.headers.get("Proxy-Authorization", ""))
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    folder.mkdir(exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *words: Handler(*words, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def built(dist: Path, version: str, names: Sequence[str] = (*NAMES, "tundev-image")) -> None:
    """Packages of these names in `dist`, with nothing in them."""
    dist.mkdir(exist_ok=True)
    for name in names:
        control = dist.parent / "tree/DEBIAN/control"
        control.parent.mkdir(parents=True, exist_ok=True)
        fields = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@y>\n"
        control.write_text(f"{fields}Depends: python3\nDescription: x\n")
        deb = dist / f"{name}_{version}_all.deb"
        subprocess.run(["dpkg-deb", "--build", str(control.parents[1]), str(deb)], check=True)


def downloaded(updates: Updates, memory: Path, proxy: Proxy | None = None) -> list[str]:
    with repository.downloaded(updates, NAMES, proxy, memory=memory) as found:
        return [f"{package.name} {package.version}" for package in map(packages.read, found)]


def test_the_newest_version_of_just_what_is_asked_for_is_taken(
    signer: Signer, tmp_path: Path, memory: Path
) -> None:
    with served(tmp_path / "served") as url:
        for version in ("0.9.0", "0.10.0", "0.10.0~rc1"):
            built(tmp_path / "dist", version)
            updates = publish(signer, tmp_path, url)
        assert downloaded(updates, memory) == ["python3-vtunlib 0.10.0", "tundev-common 0.10.0"]


def test_it_may_have_suites(signer: Signer, tmp_path: Path, memory: Path) -> None:
    built(tmp_path / "dist", "0.2.0")
    with served(tmp_path / "served") as url:
        flat = publish(signer, tmp_path, url)
        index = tmp_path / "served/dists/stable/main/binary-all"
        index.mkdir(parents=True)
        (tmp_path / "served/Packages").rename(index / "Packages")
        (tmp_path / "served/InRelease").unlink()
        words = {"Suite": "stable", "Components": "main", "Architectures": "all amd64 arm64 armhf"}
        options = [f"-oAPT::FTPArchive::Release::{key}={value}" for key, value in words.items()]
        folder = index.parents[1]
        argv = ["apt-ftparchive", *options, "release", str(folder)]
        (tmp_path / "Release").write_text(
            subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        )
        signer.gpg("--output", str(folder / "InRelease"), "--clearsign", str(tmp_path / "Release"))
        updates = Updates(flat.url, flat.key, "stable")
        assert downloaded(updates, memory) == ["python3-vtunlib 0.2.0", "tundev-common 0.2.0"]


def test_a_proxy_with_a_password_is_gone_through(signer: Signer, tmp_path: Path, memory: Path) -> None:
    asked: list[str] = []
    built(tmp_path / "dist", "0.2.0")
    with served(tmp_path / "served", asked) as url:
        updates = publish(signer, tmp_path, "http://packages.example.com")
        proxy = Proxy("127.0.0.1", int(url.rpartition(":")[2]), "me", 'p@ss"; :%')
        assert len(downloaded(updates, memory, proxy)) == 2
        assert set(asked) == {proxy.authorization}


FAULTS = {
    "another key": "couldn't be verified because the public key is not available",
    "a changed index": "The following signatures were invalid: BADSIG",
    "no signature": "is not signed",
    "a changed package": "Hash Sum mismatch",
    "a missing package": "Unable to locate package tundev-common",
    "no repository": "does not have a Release file",
    "no server": "Connection refused",
    "no such host": "Could not resolve 'nowhere.invalid'",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_it_is_told_and_nothing_is_taken(
    signer: Signer, tmp_path: Path, memory: Path, fault: str
) -> None:
    folder = tmp_path / "served"
    names = NAMES[:1] if fault == "a missing package" else NAMES
    built(tmp_path / "dist", "0.2.0", [*names, "tundev-image"])
    with served(folder) as url:
        updates = publish(signer, tmp_path, url)
        signed = (folder / "InRelease").read_text()
        match fault:
            case "another key":
                signer.make_key("other")
                other = forms.signing_key(signer.gpg("--armor", "--export", "other"))
                updates = Updates(url, other)
            case "a changed index":
                (folder / "InRelease").write_text(signed.replace("Origin: tundev", "Origin: tandev"))
            case "no signature":
                (folder / "InRelease").unlink()
                (folder / "Release").write_text(signed.partition("\n\n")[2].partition("-----BEGIN")[0])
            case "a changed package":
                deb = folder / "tundev-common_0.2.0_all.deb"
                deb.write_bytes(deb.read_bytes()[:-1] + b"x")
            case "no repository":
                (folder / "InRelease").unlink()
            case "no server":
                updates = Updates("http://127.0.0.1:1", updates.key)
            case "no such host":
                updates = Updates("http://nowhere.invalid/tundev", updates.key)
        with pytest.raises(RdvError, match=re.escape(FAULTS[fault])) as raised:
            downloaded(updates, memory)
    assert raised.value.message.startswith(f"nothing can be had from {updates.url}: ")

"""The page's own files, read once: what is not among them cannot be asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from vtunlib.errors import NotFound

DIRECTORY = Path("/usr/share/tundev/web")
INDEX = "index.html"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}


@dataclass(frozen=True)
class Asset:
    """A file, its media type, and a tag of its content (RFC 9110, section 8.8.3)."""

    body: bytes
    type: str
    tag: str


def load(directory: Path = DIRECTORY) -> dict[str, Asset]:
    """By the path below the directory. Raises NotFound without an index."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.suffix in _TYPES:
            body = path.read_bytes()
            tag = hashlib.sha256(body).hexdigest()[:32]
            found[str(path.relative_to(directory))] = Asset(body, _TYPES[path.suffix], tag)
    if INDEX not in found:
        raise NotFound(f"there is no {directory / INDEX}", "reinstall tundev-master")
    return found

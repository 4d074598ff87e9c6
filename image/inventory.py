"""What is in an image, package by package, out of dpkg's own database: a list, and an SBOM in SPDX 2.3.

Licences are in each package's copyright file and not repeated here: Debian has no
machine-readable form of all of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

STATUS = "var/lib/dpkg/status"
INFO = "var/lib/dpkg/info"
_NAMESPACE = "https://rdv.example.com/spdx"


@dataclass(frozen=True, order=True)
class Package:
    """One that is installed."""

    name: str
    version: str
    architecture: str
    source: str
    maintainer: str


def packages(root: Path) -> list[Package]:
    """All that are installed in `root`, by name."""
    found = []
    for paragraph in (root / STATUS).read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^(\S+): (.*)$", paragraph, re.M))
        if fields.get("Status") == "install ok installed":
            source = fields.get("Source", fields["Package"]).split()[0]
            name, version, architecture = (fields[key] for key in ("Package", "Version", "Architecture"))
            found.append(Package(name, version, architecture, source, fields.get("Maintainer", "")))
    return sorted(found)


def owners(root: Path) -> dict[str, str]:
    """The package that has a path, by the path, without a leading slash; of shared folders any one."""
    found = {}
    for listed in sorted((root / INFO).glob("*.list")):
        for line in listed.read_text(encoding="utf-8").splitlines():
            # Many packages still name files by the links that have led to /usr since bookworm.
            found[re.sub(r"^(?=(?:bin|sbin|lib)/)", "usr/", line[1:])] = listed.stem.split(":")[0]
    return found


def listing(installed: Sequence[Package]) -> str:
    """Name, version, architecture, one package a line, parted by tabs."""
    return "".join(f"{p.name}\t{p.version}\t{p.architecture}\n" for p in installed)


def sbom(name: str, version: str, installed: Sequence[Package], made: datetime) -> str:
    """The SPDX document, as JSON. made: when, in UTC."""
    identity = hashlib.sha256(f"{name} {version} {listing(installed)}".encode()).hexdigest()[:32]
    image: dict[str, object] = _described(name, version, "SPDXRef-image")
    document: dict[str, object] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{name}-{version}",
        "documentNamespace": f"{_NAMESPACE}/{name}-{version}-{identity}",
        "creationInfo": {
            "created": made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: tundev-image"],
        },
        "packages": [
            image | {"primaryPackagePurpose": "OPERATING-SYSTEM"},
            *(_package(number, package) for number, package in enumerate(installed)),
        ],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image"),
            *(
                _relation("SPDXRef-image", "CONTAINS", f"SPDXRef-{number}")
                for number in range(len(installed))
            ),
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _described(name: str, version: str, identifier: str) -> dict[str, object]:
    return {
        "SPDXID": identifier,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
    }


def _package(number: int, package: Package) -> dict[str, object]:
    version = quote(package.version, safe="")
    purl = f"pkg:deb/debian/{quote(package.name)}@{version}?arch={package.architecture}"
    return {
        **_described(package.name, package.version, f"SPDXRef-{number}"),
        "supplier": f"Person: {package.maintainer}" if package.maintainer else "NOASSERTION",
        "sourceInfo": f"built from the source package {package.source}",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }
        ],
    }


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}

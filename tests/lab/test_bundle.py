"""The archive for support: it tells what helps, and no secret of the device, wherever one was written."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tests.lab.customer import make_key
from tests.lab.lab import Lab
from tests.lab.machine import Machine
from tests.lab.test_sessions import account, session
from tests.lab.test_wrong_input import CONFIG, configured
from vtunlib.errors import AlreadyExists, NotAllowed

PASSWORD = "pass/wörd of the proxy"
PIN = "pin-of-this-desk"
PSK = "the wireless secret"
FORMER = "f0f1f2f3f4f5f6f7" * 4
FILE = "/root/bundle.tar.gz"
MEMBERS = {
    *("CONTENTS", "diagnosis.txt", "journal.txt", "units.txt", "tundev.toml"),
    *("status.json", "network.json", "versions.json"),
}


def members(machine: Machine, path: str = FILE) -> dict[str, bytes]:
    """Name and content of each member; the archive's one folder is not of the name."""
    data = Path(f"/proc/{machine.leader}/root{path}").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        files = {entry.name.partition("/")[2]: tar.extractfile(entry) for entry in tar.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def forms(secret: str) -> Iterator[tuple[str, bytes]]:
    """A secret as it may be written somewhere, and what of that must not be told."""
    raw = secret.encode()
    for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], raw.hex()):
        yield form, form.encode()
    for before in range(3):  # the ends of base64 are of what stands beside it, too
        form = base64.b64encode(b"x" * before + raw).decode()
        yield form, form[4:-4].encode()


def planted(lab: Lab, secrets: list[str]) -> None:
    """The journal of one of our units has each of them, in each form, in a URL and in a header."""
    lines = [form for secret in secrets for form, _ in forms(secret)]
    lines += [f"GET http://tech:{quote(PASSWORD, safe='')}@10.0.0.1:3128/", "a line that tells nothing"]
    basic = base64.b64encode(f"tech:{PASSWORD}".encode()).decode()
    lines += [f"Proxy-Authorization: Basic {basic}", f"passwd {FORMER};"]
    lab.master.copy_in("\n".join(lines), "/root/planted")
    words = ["--unit=tundev-planted", "--wait", "--quiet", "cat", "/root/planted"]
    lab.master.run(["systemd-run", *words])
    lab.master.run(["rm", "/root/planted"])


def test_no_secret_is_in_a_bundle(lab: Lab, tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    one_time, device = (tmp_path / "key").read_text(), lab.master.run(["cat", "/etc/tundev/id_ed25519"]).out
    before = lab.master.run(["cat", CONFIG]).out
    proxy = f"http://tech:{quote(PASSWORD, safe='')}@10.0.0.1:3128"
    more = f'[rdv]\nproxy = "{proxy}"\nenrol_key = """\n{one_time}"""\n'
    text = (
        before.replace("[rdv]\n", more, 1)
        + f'\n[web]\npin = "{PIN}"\n[uplink.wifi]\nssid = "guests"\npsk = "{PSK}"\n'
    )
    with session(lab.master, account(lab, 0), "L3"), configured(lab.master, text):
        leg = lab.master.run(["cat", "/run/tundev/vtund.conf"]).out.split("passwd ")[1].split(";")[0].strip()
        # The last line of a key is its comment and its padding.
        bodies = [line for key in (one_time, device) for line in key.splitlines()[1:-2]]
        secrets = [PASSWORD, PIN, PSK, leg, *bodies]
        planted(lab, secrets)
        told = lab.master.run(["masterdev", "bundle", "-o", FILE], deadline=120).out
    found = members(lab.master)
    assert set(found) == {*MEMBERS, "port.json"}
    assert not [name for name in found if name not in told]
    everything = b"\n".join(found.values())
    assert b"a line that tells nothing" in found["journal.txt"]
    told_of = [form for secret in [*secrets, FORMER] for form, part in forms(secret) if part in everything]
    assert not told_of
    # What helps is there.
    assert json.loads(found["status.json"])["onsite"] == account(lab, 0)
    assert b"ok   far end" in found["diagnosis.txt"]
    network = json.loads(found["network.json"])
    assert {"tundev-leg", "eth1"} <= {link["ifname"] for link in network["links"]}
    tables = {entry["table"]["name"] for entry in network["nftables"] if "table" in entry}
    assert {"tundev", "tundev-port"} <= tables
    assert b"tundev-planted.service" in found["units.txt"] or b"masterdev.service" in found["units.txt"]
    assert lab.plan.desks[0].account.encode() in found["tundev.toml"]
    lab.master.run(["rm", FILE])


def test_a_bundle_is_its_owners_alone_and_overwrites_nothing_unasked(lab: Lab) -> None:
    make = ["onsitedev", "bundle", "-o", FILE]
    lab.onsite.run(make, deadline=120)
    assert lab.onsite.run(["stat", "--format=%a %U", FILE]).out.split() == ["600", "root"]
    assert set(members(lab.onsite)) == MEMBERS
    again = lab.onsite.run(make, check=False)
    assert (again.code, "--force" in again.err) == (AlreadyExists.exit_code, True)
    lab.onsite.run([*make, "--force"], deadline=120)
    lab.onsite.run(["rm", FILE])
    nobody = lab.onsite.run(["runuser", "-u", "nobody", "--", *make], check=False)
    assert nobody.code == NotAllowed.exit_code


def test_a_bundle_is_made_of_a_device_that_is_broken(lab: Lab) -> None:
    """Its configuration has a fault, so no agent runs; what there is to know is in it all the same."""
    with configured(lab.onsite, '[rdv]\nserver = "x\npin = "secret-of-the-file"\n'):
        lab.onsite.run(["onsitedev", "bundle", "-o", FILE], deadline=120)
    found = members(lab.onsite)
    assert b"not TOML" in found["tundev.toml"]
    assert b"FAIL configuration" in found["diagnosis.txt"]
    assert b"secret-of-the-file" not in b"".join(found.values())
    lab.onsite.run(["rm", FILE])

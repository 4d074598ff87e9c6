"""What the lab is made from and who is where in it: nothing is started here."""

from __future__ import annotations

import pytest

from tests.lab import base, debian
from tests.lab.place import full_name
from tests.lab.process import LabError, Program
from tests.lab.topology import CAMERA, CUSTOMER_LAN, topology

CONTROL = """\
Source: tundev
Build-Depends: debhelper-compat (= 13)

Package: python3-vtunlib
Depends: python3-nftables, ${misc:Depends}

Package: tundev-common
Pre-Depends: dpkg (>= 1.20)
Depends: openssh-client [linux-any] | dropbear,
 python3-vtunlib (= ${binary:Version}),
 vtun
Description: nothing
"""


def test_the_base_root_has_what_the_packages_depend_on() -> None:
    assert debian.depends(CONTROL) == ["dpkg", "openssh-client", "python3-nftables", "vtun"]


def test_another_dependency_is_another_base_root(monkeypatch: pytest.MonkeyPatch) -> None:
    before = base.recipe()
    monkeypatch.setattr(base, "PACKAGES", [*base.PACKAGES, "sl"])
    assert base.recipe().key != before.key


def test_customers_have_the_same_subnet_and_routers_their_own_address() -> None:
    plan = topology(sites=3, desks=2, clashing=[2])
    assert {site.lan.subnet for site in plan.sites} == {CUSTOMER_LAN}
    assert len({lan.public for lan in plan.lans}) == len(plan.lans)
    assert plan.desks[0].lan.subnet != CUSTOMER_LAN
    assert plan.desks[1].lan.reserved == ((plan.desks[1].mac, CAMERA),)


@pytest.mark.parametrize("name", ["", "A", "a-b", "../x", "a" * 17, "1a"])
def test_a_name_that_could_not_be_found_again_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="is no name"):
        full_name("lab", name)


def test_a_program_that_ends_without_the_line_says_what_it_said() -> None:
    with Program(["echo", "no such luck"]) as program, pytest.raises(LabError, match="no such luck"):
        program.wait_line("bound to", deadline=5)

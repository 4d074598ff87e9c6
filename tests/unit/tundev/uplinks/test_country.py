"""What the kernel says to a country of Wi-Fi, in words."""

from __future__ import annotations

import errno

import pytest

from tundev.uplinks import country
from vtunlib.errors import NotFound, RdvError

ENOTSUPP = 524
"""The kernel's own (include/linux/errno.h), which no C library knows."""


@pytest.mark.parametrize("code", [errno.EINVAL, ENOTSUPP])
def test_whatever_the_kernel_refuses_it_by_is_told_and_nothing_else_fails(code: int) -> None:
    told = country.refusal("FR", code)
    assert type(told) is RdvError
    assert "refuses the country FR" in told.message


def test_a_kernel_without_wifi_is_told_from_one_that_refuses() -> None:
    assert isinstance(country.refusal("FR", errno.ENOENT), NotFound)

"""Which version of the product runs here."""

from __future__ import annotations

VERSION = "checkout"
"""The packages' version, which debian/rules writes here from debian/changelog when it builds them."""

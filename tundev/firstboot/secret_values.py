"""What of a device's configuration is secret, and what stands for it in the file on the boot partition.

Whoever finds the card reads that file in any computer. So each secret in it is
replaced by KEPT once the device has it. A file that is changed later may leave
KEPT where it stands: it means what the device has.
"""

from __future__ import annotations

from collections.abc import Mapping

from tundev import toml_lines
from tundev.toml_text import fault, values_of

KEPT = "(kept on the device)"
ONCE = ("rdv", "enrol_key")
"""Good for one login: where the device has it no more, nothing is missing."""
SECRETS = (
    *(ONCE, ("rdv", "proxy"), ("web", "pin")),
    *(("uplink", "wifi", "psk"), ("uplink", "modem", "password"), ("uplink", "modem", "pin")),
)

HEADER = """\
# This file was taken over by the device. What was secret in it is on the device alone now.
# To change something, edit this file on any computer and put the card back: the next boot
# takes it over. Leave "(kept on the device)" where it stands, or write a new value.
"""


def erased(text: str, name: str) -> str:
    """`text` without its secrets, below the header; name stands for the file in errors.

    Raises ConfigError where one's lines cannot be told, or on no TOML.
    """
    values = values_of(text, name)
    for where in SECRETS:
        value = toml_lines.value_of(values, where)
        if value not in (None, KEPT) and is_secret(where, str(value)):
            text = toml_lines.with_value(text, where, KEPT, name)
    # With the ends of line of the rest: the editor of whoever reads it may know no others.
    header = HEADER.replace("\n", "\r\n") if "\r\n" in text else HEADER
    return text if text.startswith(header) else header + text


def completed(text: str, name: str, former: Mapping[str, object]) -> str:
    """`text` with the values of `former`, the parsed file of before, where it says KEPT.

    name stands for the file in errors. Raises ConfigError where `former` has none, or on no TOML.
    """
    values = values_of(text, name)
    for where in SECRETS:
        if toml_lines.value_of(values, where) != KEPT:
            continue
        value = toml_lines.value_of(former, where)
        if value is None and where != ONCE:
            raise fault(
                name, text, ".".join(where[:-1]), where[-1], "the device does not have it; write it anew"
            )
        text = toml_lines.with_value(text, where, None if value is None else str(value), name)
    return text


def is_secret(where: tuple[str, ...], value: str) -> bool:
    """A proxy's address is none, unless there is a password in it."""
    return where != ("rdv", "proxy") or "@" in value

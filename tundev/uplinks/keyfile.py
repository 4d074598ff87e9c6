"""The text of a connection as NetworkManager reads it from a file: nm-settings-keyfile(5).

The format is GLib's: a value begins after its blanks, ends with its line, and has a backslash for
what would not survive that.
"""

from __future__ import annotations

from collections.abc import Mapping

Sections = Mapping[str, Mapping[str, str]]
"""Keys and values of each section; the values as the file has them (`escaped` where they are somebody's)."""

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def rendered(sections: Sections) -> str:
    """The file. Sections without keys are left out."""
    parts = [
        "".join([f"[{name}]\n", *(f"{key}={value}\n" for key, value in keys.items())])
        for name, keys in sections.items()
        if keys
    ]
    return "\n".join(parts)


def escaped(text: str) -> str:
    """A string as a value: what is not of one line, and blanks at its ends, are written with a backslash."""
    inside = "".join(_ESCAPES.get(character, character) for character in text.strip(" "))
    blanks = len(text) - len(text.lstrip(" ")), len(text) - len(text.rstrip(" "))
    return "\\s" * blanks[0] + inside + "\\s" * blanks[1] if inside else "\\s" * len(text)


def octets(text: str) -> str:
    """A string as the list of its bytes, which is how a name of a Wi-Fi network can be any."""
    return "".join(f"{octet};" for octet in text.encode())

"""The boot partition's file as it was found: its text, or in words why it is none.

Word processors, editors and computers that are parted from a card too early leave there
what is called as the file and is not its text.
"""

from __future__ import annotations

import codecs

from tundev.firstboot.boot_partition import SIZE_LIMIT
from vtunlib.errors import ConfigError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DOCUMENTS = (b"{\\rtf", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How RTF begins (WordPad's and TextEdit's), .docx and .odt, and the former .doc."""
_AGAIN = "copy it again, and eject the card before you pull it out"
_AS_TEXT = "save it as plain text in UTF-8"


def text_of(card: bytes, name: str) -> str:
    """The text; name stands for the file in errors. Raises ConfigError where it is none."""
    if len(card) > SIZE_LIMIT:
        raise ConfigError(f"{name}: longer than {SIZE_LIMIT} bytes; no bundle is")
    if not card:
        raise ConfigError(f"{name}: it is empty", _AGAIN)
    if card.startswith(_DOCUMENTS):
        raise ConfigError(f"{name}, line 1: a word processor's document, as RTF or .docx", _AS_TEXT)
    if _is_utf16(card):
        raise ConfigError(f"{name}: saved as UTF-16 (Notepad: 'Unicode')", _AS_TEXT)
    if b"\0" in card:
        raise ConfigError(f"{name}, line {_line(card, card.index(0))}: zeros in place of text", _AGAIN)
    try:
        return card.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}, line {_line(card, error.start)}: not UTF-8", _AS_TEXT) from None


def is_partly_zeros(card: bytes) -> bool:
    """Whether NULs stand where text was: a write was cut short, or never came to the card."""
    return b"\0" in card and not card.startswith(_DOCUMENTS) and not _is_utf16(card)


def _is_utf16(card: bytes) -> bool:
    """With its mark or without: every other byte of most texts is NUL then, and none of the others."""
    few, many = sorted((card[::2].count(0), card[1::2].count(0)))
    return card.startswith(_UTF16) or (len(card) > 1 and many > len(card) // 4 and few * 10 < many)


def _line(card: bytes, at: int) -> int:
    return card.count(b"\n", 0, at) + 1

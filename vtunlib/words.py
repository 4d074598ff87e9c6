"""The words of the tundev shell, shared by the server that answers and the device that asks.

The grammar: a command is one line of words, quoted as in a POSIX shell where a
word has spaces. The prompt is `<account>$ `. An error is one line that begins
with `*** ` (see vtunlib.errors). Nothing here reaches a shell of the system.
"""

from __future__ import annotations

import shlex
from enum import StrEnum

from vtunlib.errors import UsageError

LINE_LIMIT = 4096
"""Bytes of a command line, its end included."""

WAIT_SECONDS = 60
"""The longest that `wait_master_connection` and `wait_change` block."""

LEG = "leg"
"""What a device asks its login shell for (SSH_ORIGINAL_COMMAND) to be given its leg."""

UNKNOWN = "(unknown)"
"""The answer where there is nothing to tell yet."""


class Word(StrEnum):
    """The first word of a command."""

    # both roles
    GET_ROLE = "get_role"
    GET_TUNNEL_MODE = "get_tunnel_mode"
    SET_LAN_IP_ADDRESS = "set_tunnelling_dev_lan_ip_address"
    SET_DNS_SERVER_LIST = "set_tunnelling_dev_dns_server_list"
    SET_HOSTNAME = "set_tunnelling_dev_hostname"
    SET_VERSION = "set_tunnelling_dev_version"
    GET_VTUN_PARAMETERS = "get_vtun_parameters"
    DROP_VTUN = "drop_vtun"
    ECHO = "echo"
    DEBUG_MODE = "debug_mode"
    HELP = "help"
    EXIT = "exit"
    LOGOUT = "logout"
    # onsite
    SET_UPLINK_TYPE = "set_tunnelling_dev_uplink_type"
    SET_LOCATION = "set_tunnelling_dev_location"
    WAIT_MASTER_CONNECTION = "wait_master_connection"
    # master
    SHOW_ONLINE_ONSITE_DEVS = "show_online_onsite_devs"
    SET_TUNNEL_MODE = "set_tunnel_mode"
    CONNECT_TO_ONSITE_DEV = "connect_to_onsite_dev"
    WAIT_CHANGE = "wait_change"
    SHOW_REMOTE_ONSITE_IP_CONFIG = "show_remote_onsite_ip_config"
    SESSION_STATUS = "session_status"


class Wait(StrEnum):
    """The answers of `wait_master_connection` and `wait_change`."""

    READY = "ready"
    NOT_READY = "not_ready"
    RESET = "reset"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


def prompt(account: str) -> str:
    """What the shell prints when it is ready for a command."""
    return f"{account}$ "


def compose(word: Word, *arguments: str) -> str:
    """The command line, without its end, that `parse` gives back.

    Raises UsageError where an argument holds a control character or the line
    is longer than LINE_LIMIT.
    """
    line = shlex.join([word, *arguments])
    _check(line)
    return line


def parse(line: str) -> list[str]:
    """The words of a command line; an empty list for an empty one. Raises UsageError."""
    _check(line)
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"malformed line: {error}", "quote words with spaces, as in 'a b'") from None


def _check(line: str) -> None:
    if len(line.encode(errors="surrogateescape")) >= LINE_LIMIT:
        raise UsageError(f"the line is longer than {LINE_LIMIT} bytes")
    if any(not c.isprintable() for c in line):
        raise UsageError("the line holds control or unprintable characters")

"""`rdv-admin acl`: what the rules say, and whether they are the file's.

It reads the files itself, as the manager does, so it works without one. Where
the manager has other rules in force, that is said.
"""

from __future__ import annotations

import argparse
import datetime
import json
from typing import Any

from rdv import contract
from rdv.access import decision, in_force, rules
from rdv.access.decision import Answer, Verdict
from rdv.access.in_force import InForce
from rdv.access.rules import Party, Rule
from rdv.admin.link import manager, note, show_json
from rdv.devices import DeviceStore, check_account
from vtunlib.errors import NotAllowed, NotFound, NotRunning, Timeout, UsageError
from vtunlib.table import table
from vtunlib.tunnel import Role, TunnelMode

_AT = "%Y-%m-%d %H:%M"
_EXAMPLES = """\
examples:
  rdv-admin acl check                                  is the file as it must be?
  rdv-admin acl check rpi1200 rpi1100                  may this master reach this onsite now?
  rdv-admin acl check rpi1200 rpi1100 --mode L2 --at "2026-11-25 18:00"
  rdv-admin acl show
"""


def add_parser(subjects: Any) -> None:
    """The words of `rdv-admin acl`."""
    acl = subjects.add_parser(
        "acl",
        help="who may reach whom",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).add_subparsers(required=True, metavar="COMMAND")
    check = acl.add_parser("check", help="check the file, or ask whether a master may reach an onsite")
    check.add_argument("master", nargs="?")
    check.add_argument("onsite", nargs="?")
    check.add_argument("--mode", type=TunnelMode, choices=list(TunnelMode), help="both unless given")
    check.add_argument("--at", metavar='"YYYY-MM-DD HH:MM"', help="by this server's clock; now unless given")
    check.add_argument("--json", action="store_true")
    check.set_defaults(work=acl_check)
    show = acl.add_parser("show", help="the rules in force")
    show.add_argument("--json", action="store_true")
    show.set_defaults(work=acl_show)


async def acl_check(arguments: argparse.Namespace) -> None:
    """Check the file, or say which rule lets a master reach an onsite. NotAllowed where none does."""
    if arguments.master is None:
        await _check_file(arguments)
        return
    if arguments.onsite is None:
        raise UsageError("a master alone is not enough", "give the onsite, too, or neither to check the file")
    loaded = in_force.load()
    if loaded.fault:
        note(loaded.fault)
    await _compare(loaded)
    master = _party(arguments.master, Role.MASTER)
    onsite = _party(arguments.onsite, Role.ONSITE)
    at = _instant(arguments.at)
    modes = [arguments.mode] if arguments.mode else list(TunnelMode)
    verdicts = {mode: decision.decide(loaded.rules, master, onsite, mode, at) for mode in modes}
    rows = [_verdict_row(mode, verdict, master, onsite) for mode, verdict in verdicts.items()]
    if arguments.json:
        show_json({"master": master.account, "onsite": onsite.account, "at": at.isoformat(), "modes": rows})
    else:
        for row in rows:
            print(_told(row))
    if all(verdict.answer is not Answer.YES for verdict in verdicts.values()):
        raise NotAllowed(f"{master.account} may not reach {onsite.account}", "acl.toml(5) has the rules")


async def _check_file(arguments: argparse.Namespace) -> None:
    found, text = rules.read(in_force.FILE)
    await _compare(InForce(found, text))
    if arguments.json:
        show_json({"rules": len(found)})
    else:
        print(f"{in_force.FILE}: as it must be, {_count(len(found))}")


async def acl_show(arguments: argparse.Namespace) -> None:
    """The rules in force: the manager's, or what it would take if it ran."""
    try:
        row = json.loads(await manager(contract.SHOW_ACCESS))
        row["manager"] = True
    except (NotRunning, Timeout) as error:
        note(f"{error}; these are the rules that it would take")
        row = in_force.load().row() | {"manager": False}
    if arguments.json:
        show_json(row)
        return
    if row["fault"]:
        note(row["fault"])
    elif row["manager"]:
        await _compare(in_force.load())
    if not row["rules"]:
        print("no rule: nobody may reach anybody")
        return
    shown = [
        [
            f"{rule['number']} (line {rule['line']})",
            rule["name"] or "-",
            *(" ".join(rule[key]) for key in ("master", "onsite", "mode")),
            ", ".join(rule["hours"]) or "always",
            rule["reach"] if isinstance(rule["reach"], str) else ", ".join(rule["reach"]),
            "required" if rule["require_reason"] else "-",
        ]
        for rule in row["rules"]
    ]
    print(table(("RULE", "NAME", "MASTER", "ONSITE", "MODE", "HOURS", "REACH", "REASON"), shown))


async def _compare(loaded: InForce) -> None:
    """Say where the manager has other rules in force than those."""
    try:
        row = json.loads(await manager(contract.SHOW_ACCESS))
    except (NotRunning, Timeout) as error:
        note(f"{error}; which rules it had in force is not known")
        return
    if row["fingerprint"] != loaded.fingerprint:
        note(
            "the manager has other rules in force; 'rdv-admin acl show' shows them, "
            "'systemctl reload vtun-manager' has it look at the file"
        )


def _party(name: str, role: Role) -> Party:
    try:
        device = DeviceStore().read(check_account(name))
    except NotFound:
        raise NotFound(f"there is no device {name}", "'rdv-admin device list' shows them") from None
    if device.role is not role:
        raise UsageError(f"{name} is a device of role {device.role}", "expected MASTER ONSITE, in this order")
    return Party(name, frozenset(device.groups))


def _instant(text: str | None) -> datetime.datetime:
    if text is None:
        return datetime.datetime.now(datetime.UTC)
    try:
        return datetime.datetime.strptime(text, _AT).astimezone()
    except ValueError:
        raise UsageError(f"{text!r} is no instant", 'expected as in "2026-11-25 18:00"') from None


def _verdict_row(mode: TunnelMode, verdict: Verdict, master: Party, onsite: Party) -> dict[str, Any]:
    refused = decision.refusal(verdict, master.account, onsite.account, mode)
    row: dict[str, Any] = {
        "mode": str(mode),
        "allowed": refused is None,
        "answer": str(verdict.answer),
        "rule": verdict.rule.row() if verdict.rule else None,
    }
    if refused is not None:
        row["why"] = refused.hint
    elif verdict.rule is not None:
        row["how"] = _granted(verdict.rule)
    return row


def _granted(rule: Rule) -> str:
    reason = ", with a reason" if rule.require_reason else ""
    named = f"rule {rule.number}" + (f" ({rule.name})" if rule.name else "")
    return f"by {named}, line {rule.line}: reach {rule.reach}, hours {rule.hours}{reason}"


def _told(row: dict[str, Any]) -> str:
    return f"{row['mode']}: yes, {row['how']}" if row["allowed"] else f"{row['mode']}: no: {row['why']}"


def _count(number: int) -> str:
    return "1 rule" if number == 1 else f"{number} rules"

"""The order of the walk: what is found out at each step, and which steps it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from tundev.client import AgentClient
from tundev.diagnosis import gathering, judging
from tundev.diagnosis.facts import Facts
from tundev.diagnosis.findings import Finding, Step, Verdict
from vtunlib.tunnel import Role

Gather = Callable[[Facts, AgentClient], Awaitable[None]]


@dataclass(frozen=True)
class Stage:
    """One step: find out, then judge. needs: what must be as it should, for anything to be said of this."""

    step: Step
    gather: Gather
    judge: Callable[[Facts], Finding]
    needs: tuple[Step, ...] = ()


_BEGIN = (Stage(Step.CONFIGURATION, gathering.configuration, judging.configuration),)
_PORT = (
    Stage(Step.ADAPTER, gathering.port, judging.adapter),
    Stage(Step.LEASE, gathering.nothing, judging.lease, (Step.ADAPTER,)),
)
_UPLINK = (Stage(Step.UPLINK, gathering.uplink, judging.uplink),)
_BRIDGE = (Stage(Step.BRIDGE, gathering.bridge, judging.bridge, (Step.UPLINK,)),)
_SERVER = (
    Stage(Step.DNS, gathering.dns, judging.dns, (Step.CONFIGURATION, Step.UPLINK)),
    Stage(Step.SERVER, gathering.server, judging.server, (Step.DNS,)),
    Stage(Step.TRANSPORT, gathering.transport, judging.transport, (Step.SERVER,)),
    Stage(Step.SHELL, gathering.agent, judging.shell, (Step.TRANSPORT,)),
    Stage(Step.TUNNEL, gathering.tunnel, judging.tunnel, (Step.SHELL,)),
)
_FAR_END = (Stage(Step.FAR_END, gathering.nothing, judging.far_end, (Step.TUNNEL,)),)
_LAN = (Stage(Step.LAN, gathering.gateway, judging.lan, (Step.UPLINK,)),)
_MTU = (Stage(Step.MTU, gathering.mtu, judging.mtu, (Step.SERVER,)),)

STAGES = {
    Role.MASTER: (*_BEGIN, *_PORT, *_UPLINK, *_SERVER, *_FAR_END, *_MTU),
    Role.ONSITE: (*_BEGIN, *_UPLINK, *_BRIDGE, *_SERVER, *_LAN, *_MTU),
}


async def walk(agent: AgentClient) -> AsyncIterator[Finding]:
    """Each finding as soon as it is known. Raises NotAllowed to who may not ask the agent."""
    facts = Facts(agent.role)
    await gathering.agent(facts, agent)
    found: dict[Step, Finding] = {}
    for stage in STAGES[agent.role]:
        missing = blocked(stage, found)
        if missing is None:
            await stage.gather(facts, agent)
        finding = missing or stage.judge(facts)
        found[stage.step] = finding
        yield finding


def blocked(stage: Stage, found: dict[Step, Finding]) -> Finding | None:
    """Why nothing can be said of this step yet; None where all that it needs is as it should be."""
    for need in stage.needs:
        before = found[need]
        if before.verdict is Verdict.FAILED:
            return Finding(stage.step, Verdict.OPEN, f"not judged: it needs the {need}, which fails")
        if before.verdict is Verdict.OPEN:
            return Finding(stage.step, Verdict.OPEN, before.text)
    return None

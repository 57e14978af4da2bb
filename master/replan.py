"""When users must move: the decision of one moment, from who holds what to who is to hold what. Pure.

Two rules keep the offered load at or below the plan: a user is given to another worker only after it
has certainly ended on the old one (its process ended, it said so, or its lease is out), and what a
worker releases is given away only after that worker, knowing it, has said that none of it lives any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from loadgen.master.members import Member, MemberState
from loadgen.master.reassign import Holdings, adopt, level, orphans
from loadgen.plan import UserPlan


def replan(plan: UserPlan, members: Sequence[Member]) -> Holdings:
    """The new holdings of each worker that must be told something; empty when all is well.

    Nothing is decided while a worker of an earlier life of the master has not been heard of.
    """
    able = [member for member in members if member.can_run]
    if not able or any(member.silent and not member.is_settled for member in members):
        return {}
    taken = {member.id: member.held for member in members if not member.is_settled}
    wanted = adopt({member.id: member.wanted for member in able}, orphans(plan, taken))
    settled = all(member.held == member.wanted for member in able)
    if settled and max(map(len, wanted.values())) - min(map(len, wanted.values())) > 1:
        wanted = level(wanted)
    return {member.id: wanted[member.id] for member in able if _must_hear(member, wanted[member.id])}


def _must_hear(member: Member, users: set[tuple[int, int]]) -> bool:
    return users != member.wanted or member.state is MemberState.READY

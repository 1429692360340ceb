"""Where calls came from that leave facts. It is kept apart from the facts, which have salted hashes of it, so that it
can be erased."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit import ids
from kit.auth.caller import Caller
from kit.auth.denials import CLIENT_LENGTH_MAX, TOKEN_PREFIX, told
from kit.eventstore.commitments import commitments
from kit.eventstore.facts import Fact, Meta
from kit.eventstore.store import Statement
from kit.postgres.pool import Connection, Pool
from kit.postgres.queries import load_queries
from kit.rpc.call import served_call
from onward.registry.v1 import internal_service_pb2 as pb
from services.registry.domain.members import MEMBER_PREFIX

# Begins the principal of a service, behind which there is no person.
_SERVICE_PREFIX = "service:"

queries = load_queries(Path(__file__).parent / "clients.sql")


def _salt() -> bytes:
    # 160 random bits for each call, so that neither values nor commitments can be compared with others'.
    return ids.token_secret().encode()


@dataclass(frozen=True, slots=True)
class Client:
    """Where one call came from, as it said so itself: not verified. Empty where that is not known."""

    address: str = ""
    agent: str = ""
    salt: bytes = field(default_factory=_salt, repr=False)

    def __bool__(self) -> bool:
        return bool(self.address or self.agent)

    @property
    def commitments(self) -> Mapping[str, str]:
        """For the facts that the call leaves."""
        return commitments(self.salt, {"client_address": self.address, "user_agent": self.agent})


def client(address: str, agent: str) -> Client:
    """Of what a caller says, cut to what is kept."""
    return Client(told(address, CLIENT_LENGTH_MAX), told(agent, CLIENT_LENGTH_MAX))


def client_of(caller: Caller) -> Client:
    """Of the call that is being served; nothing of services, and of work that nobody called for."""
    call = served_call()
    if call is None or caller.principal.startswith(_SERVICE_PREFIX):
        return Client()
    return client(call.client_address, call.user_agent)


async def keep_client(connection: Connection, one: Client, meta: Meta, facts: Sequence[Fact]) -> None:
    """Keep it for the facts of one append, in their transaction."""
    if one and facts:
        first, last = facts[0], facts[-1]
        place = (first.workspace, first.position, last.position)
        who = (meta.principal, meta.credential)
        await connection.execute(queries.keep_client, *place, *who, one.address, one.agent, one.salt)


def client_kept(one: Client, meta: Meta, workspace: str, position: int) -> Statement:
    """The same for one fact, as a part of the statement that appends it."""
    place = (workspace, position, position)
    return Statement(
        queries.keep_client_too, (*place, meta.principal, meta.credential, one.address, one.agent, one.salt)
    )


async def keep_refused_client(connection: Connection, one: Client, meta: Meta, facts: Sequence[Fact]) -> None:
    """As `keep_client`, but not of a member who was removed since: erasing him may have come first."""
    workspace = facts[0].workspace if facts else ""
    member = meta.principal.removeprefix(MEMBER_PREFIX)
    if member == meta.principal or await connection.fetchval(queries.is_member, workspace, member):
        await keep_client(connection, one, meta, facts)


async def read_clients(pool: Pool, workspace: str, positions: Collection[int]) -> Mapping[int, pb.Client]:
    """By position; those that are erased, or never were known, are left out."""
    rows = await pool.fetch(queries.read_clients, workspace, list(positions))
    return {
        row["position"]: pb.Client(client_address=row["address"], user_agent=row["agent"], salt=row["salt"])
        for row in rows
    }


async def erase_clients(connection: Connection, workspace: str, member: str) -> bool:
    """Delete all of what a member did, and of what was tried with its tokens anywhere; whether there was any."""
    tokens = [row["token"] for row in await connection.fetch(queries.tokens_ever, workspace, member)]
    credentials = [TOKEN_PREFIX + token for token in tokens]
    return bool(await connection.fetchval(queries.erase_clients, workspace, MEMBER_PREFIX + member, credentials))

"""Commands on members, their roles and tokens."""

from __future__ import annotations

from collections.abc import Sequence

from kit.auth.tokens import format_token, hash_secret
from kit.clock import Clock
from kit.eventstore.commitments import commitments
from kit.eventstore.facts import NewFact
from kit.eventstore.store import Unit
from kit.ids import Ids
from kit.postgres.pool import Connection, Pool
from onward.registry.v1 import facts_pb2, operator_service_pb2, resources_pb2
from onward.registry.v1 import workspace_service_pb2 as pb
from services.registry.domain import members as domain
from services.registry.domain.state import State
from services.registry.domain.workspaces import require_workspace
from services.registry.errors import EmailTaken
from services.registry.handlers.changes import Change, Changes
from services.registry.handlers.clients import erase_clients
from services.registry.queries import people, queries

ErasePersonRequest = operator_service_pb2.ErasePersonRequest
ErasePersonResponse = operator_service_pb2.ErasePersonResponse


class MemberHandlers:
    """What owners do with members, roles and tokens, and the operator's erasing of persons.

    What is known of a person is in the table `people` and in answers that are not stored: never in a fact, nor in an
    answer that is kept for repeated requests, since neither can be erased.
    """

    def __init__(self, changes: Changes, pool: Pool, ids: Ids, clock: Clock) -> None:
        self._changes = changes
        self._pool = pool
        self._ids = ids
        self._clock = clock

    async def add_member(self, request: pb.AddMemberRequest, workspace: str) -> pb.AddMemberResponse:
        """A member with its first roles."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            require_workspace(state, workspace)
            # 160 random bits, so that a commitment can't be compared with another member's.
            salt = self._ids.token_secret().encode()
            personal = {"display_name": request.display_name, "email": request.email}
            committed = commitments(salt, personal)
            facts = domain.decide_add_member(state, request, workspace, committed, self._ids.token_id)
            if request.kind == resources_pb2.MEMBER_KIND_PERSON:
                await _store_person(unit.connection, request, workspace, _added(facts), salt)
            return facts

        async def answer(connection: Connection, facts: Sequence[NewFact]) -> pb.AddMemberResponse:
            member = _added(facts)
            return pb.AddMemberResponse(
                member=await people.get_member(connection, workspace, member),
                role_bindings=await people.role_bindings_of(connection, workspace, member),
            )

        change = Change(workspace, request, pb.AddMemberResponse, decide, answer, secrets=("member",))
        return await self._with_member(await self._changes.make(change), request, workspace)

    async def _with_member(
        self, response: pb.AddMemberResponse, request: pb.AddMemberRequest, workspace: str
    ) -> pb.AddMemberResponse:
        """The answer to a repeated request, with what is known of the member now."""
        if not response.HasField("member"):
            # Nobody is added without a role.
            name = response.role_bindings[0].member
            found = await people.find_member(self._pool, workspace, name.rpartition("/")[2])
            response.member.CopyFrom(found or resources_pb2.Member(name=name, kind=request.kind))
        return response

    async def remove_member(
        self, request: pb.RemoveMemberRequest, workspace: str, member: str
    ) -> pb.RemoveMemberResponse:
        """The end of a member, its roles and its tokens."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            facts = domain.decide_remove_member(state, workspace, member)
            await _forget_secrets(unit, facts)
            await unit.connection.execute(people.queries.person_removed, workspace, member)
            return facts

        async def answer(_connection: Connection, _facts: Sequence[NewFact]) -> pb.RemoveMemberResponse:
            return pb.RemoveMemberResponse()

        return await self._changes.make(Change(workspace, request, pb.RemoveMemberResponse, decide, answer))

    async def grant_role(self, request: pb.GrantRoleRequest, workspace: str, member: str) -> pb.GrantRoleResponse:
        """One more role, or the binding that says the same already."""
        existing = ""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            nonlocal existing
            facts = domain.decide_grant_role(state, workspace, member, request.grant, self._ids.token_id)
            if not facts:
                found = domain.binding_of(state.members[member], request.grant)
                assert found is not None, "nothing was decided because it is there"
                existing = found.id
            return facts

        async def answer(connection: Connection, facts: Sequence[NewFact]) -> pb.GrantRoleResponse:
            granted = [one.data.binding for one in facts if isinstance(one.data, facts_pb2.RoleGranted)]
            binding = await people.get_role_binding(connection, workspace, granted[0] if granted else existing)
            return pb.GrantRoleResponse(role_binding=binding)

        return await self._changes.make(Change(workspace, request, pb.GrantRoleResponse, decide, answer))

    async def revoke_role(self, request: pb.RevokeRoleRequest, workspace: str, binding: str) -> pb.RevokeRoleResponse:
        """One role less."""

        async def decide(_unit: Unit, state: State) -> list[NewFact]:
            return domain.decide_revoke_role(state, workspace, binding)

        async def answer(_connection: Connection, _facts: Sequence[NewFact]) -> pb.RevokeRoleResponse:
            return pb.RevokeRoleResponse()

        return await self._changes.make(Change(workspace, request, pb.RevokeRoleResponse, decide, answer))

    async def create_token(self, request: pb.CreateTokenRequest, workspace: str, member: str) -> pb.CreateTokenResponse:
        """A token, whose secret only the first answer holds."""
        token, secret = self._ids.token_id(), self._ids.token_secret()

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            now = self._clock.now()
            facts = domain.decide_create_token(state, request, workspace, member, token, now)
            await unit.connection.execute(queries.insert_token_secret, token, workspace, hash_secret(secret))
            return facts

        async def answer(connection: Connection, _facts: Sequence[NewFact]) -> pb.CreateTokenResponse:
            made = await people.get_token(connection, workspace, token)
            return pb.CreateTokenResponse(token=made, secret=format_token(token, secret))

        return await self._changes.make(
            Change(workspace, request, pb.CreateTokenResponse, decide, answer, secrets=("secret",))
        )

    async def revoke_token(self, request: pb.RevokeTokenRequest, workspace: str, token: str) -> pb.RevokeTokenResponse:
        """The end of a token."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            facts = domain.decide_revoke_token(state, workspace, token)
            await _forget_secrets(unit, facts)
            return facts

        async def answer(_connection: Connection, _facts: Sequence[NewFact]) -> pb.RevokeTokenResponse:
            return pb.RevokeTokenResponse()

        return await self._changes.make(Change(workspace, request, pb.RevokeTokenResponse, decide, answer))

    async def erase_person(self, request: ErasePersonRequest, workspace: str, member: str) -> ErasePersonResponse:
        """Deletes what is known of somebody who was a member; the log's bytes stay as they are."""

        async def decide(unit: Unit, state: State) -> list[NewFact]:
            # What is decided may still refuse: then the deletion is undone with all else.
            known = await unit.connection.fetchval(people.queries.erase_person, workspace, member)
            seen = await erase_clients(unit.connection, workspace, member)
            return domain.decide_erase_person(state, workspace, member, known=known or seen)

        async def answer(_connection: Connection, _facts: Sequence[NewFact]) -> ErasePersonResponse:
            return ErasePersonResponse()

        return await self._changes.make(Change(workspace, request, ErasePersonResponse, decide, answer))


def _added(facts: Sequence[NewFact]) -> str:
    """The id of the member that the facts add."""
    return next(one.data.member for one in facts if isinstance(one.data, facts_pb2.MemberAdded))


async def _store_person(
    connection: Connection, request: pb.AddMemberRequest, workspace: str, member: str, salt: bytes
) -> None:
    if request.email:
        holder = await connection.fetchval(people.queries.email_holder, workspace, request.email)
        if holder is not None:
            raise EmailTaken(f"workspaces/{workspace}/members/{holder}")
    await connection.execute(people.queries.insert_person, workspace, member, request.display_name, request.email, salt)


async def _forget_secrets(unit: Unit, facts: Sequence[NewFact]) -> None:
    """Deletes the secrets' hashes of tokens that the facts end."""
    tokens = [one.data.token for one in facts if isinstance(one.data, facts_pb2.TokenRevoked)]
    await unit.connection.execute(people.queries.delete_token_secrets, unit.workspace, tokens)

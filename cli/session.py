"""A command's connections: where the services are, as whom to call them, names of resources."""

from __future__ import annotations

import re
import ssl
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import grpc
import grpc.aio

from cli.client_file import ClientFile
from cli.failures import CommandError, Exit, UsageError
from cli.options import Options
from kit.auth.tokens import parse_write_key
from kit.errors import OnwardError, Unavailable
from kit.release import onward_version
from kit.rpc.client import open_channel
from kit.rpc.loopback import is_loopback

if TYPE_CHECKING:
    from kit.publisher.publisher import OnResult, Publisher

Service = Literal["registry", "delivery", "executor", "audit"]
Kind = Literal[
    "members",
    "roleBindings",
    "tokens",
    "functions",
    "sources",
    "destinations",
    "deliveries",
    "subscriptions",
    "replays",
    "auditEvents",
]

# Kinds whose ids people choose.
_CHOSEN_IDS = ("members", "functions", "sources", "destinations")
_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


class Session:
    """Use it as an async context manager; its channels are opened when first asked for and closed at the end."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.client_file = ClientFile(options.data / "client.json")
        self._exit = AsyncExitStack()
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        self._known = _read(self.client_file)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    @property
    def workspace(self) -> str:
        """The workspace that was asked for, or the only one that the data folder knows."""
        if self.options.workspace:
            return checked_id(self.options.workspace, "--workspace")
        if not self._known:
            raise UsageError(self._nothing_known("the workspace"))
        known = sorted(self._known.get("workspaces", {}))
        if len(known) == 1:
            return str(known[0])
        if not known:
            raise UsageError("no workspace is known: create one with `onward workspaces create NAME`")
        raise UsageError(f"there are several workspaces, so name one with --workspace: {', '.join(known)}")

    @property
    def workspace_name(self) -> str:
        return f"workspaces/{self.workspace}"

    def name(self, kind: Kind, identifier: str) -> str:
        """Give the resource name of an id; a full name of this workspace is taken as it is."""
        prefix = f"{self.workspace_name}/{kind}/"
        identifier = identifier.removeprefix(prefix)
        if kind in _CHOSEN_IDS:
            checked_id(identifier, kind.removesuffix("s"))
        return prefix + identifier

    def member_token(self) -> str:
        """Give the token that acts in the workspace. Raises UsageError where none is known."""
        token = self.options.token or self._known.get("workspaces", {}).get(self.workspace, "")
        if not token:
            raise UsageError(
                f"no token for the workspace {self.workspace} is known: give one with --token,"
                " or create the workspace with `onward workspaces create`"
            )
        return str(token)

    def as_member(self, service: Service) -> grpc.aio.Channel:
        """Give a channel with a token of the workspace: the one that was given, or its first owner's."""
        return self._channel(service, self.member_token())

    def as_operator(self, service: Service = "registry") -> grpc.aio.Channel:
        """Give a channel with the operator's token."""
        token = self.options.token or self._known.get("operator_token", "")
        if not token:
            raise UsageError(self._nothing_known("the operator's token"))
        return self._channel(service, str(token))

    def as_anyone(self) -> grpc.aio.Channel:
        """Give a channel to the registry, with whatever token there is."""
        workspaces = self._known.get("workspaces", {})
        token = self.options.token or next(iter(workspaces.values()), self._known.get("operator_token", ""))
        return self._channel("registry", token)

    def remember_workspace(self, workspace: str, token: str) -> bool:
        """Keep its token in the data folder; False where there is none, since another address was named."""
        if not self._known:
            return False
        self.client_file.add_workspace(workspace, token)
        self._known = _read(self.client_file)
        return True

    def write_key(self, source: str) -> str:
        """Give the write key of a source that the data folder knows, or nothing."""
        return str(self._known.get("write_keys", {}).get(f"{self.workspace}/{source}", ""))

    def remember_write_key(self, source: str, key: str) -> None:
        """Keep it where the data folder's own registry has made it."""
        if self._known and not self.options.registry:
            self.client_file.add_write_key(self.workspace, source, key)
            self._known = _read(self.client_file)

    def forget_write_key(self, source: str, key_id: str = "") -> None:
        """Drop what is kept of a source: its key of that id, or whichever there is."""
        kept = self.write_key(source)
        if kept and not self.options.registry and (not key_id or parse_write_key(kept).id == key_id):
            self.client_file.remove_write_key(self.workspace, source)

    async def publisher(self, source: str, key: str, on_result: OnResult) -> Publisher:
        """Start a publisher of a source, with `key` or the data folder's. What is unsent at the end is dropped."""
        # Only publishing needs it, and it takes a while to import.
        from kit.publisher.publisher import Publisher

        url = self.options.nats or self._known.get("nats_url", "")
        if not url:
            raise UsageError(self._nothing_known("the address of NATS"))
        key = key or self.write_key(source)
        if not key:
            raise UsageError(
                f"no write key of the source {source} is known: give one with --key or ONWARD_WRITE_KEY,"
                f" or make one with `onward sources keys create {source}`"
            )
        ca = self.options.ca or None
        if ca:
            read_authority(ca)
        publisher = Publisher(url, key, source=source, workspace=self.workspace, ca=ca, on_result=on_result)
        try:
            await publisher.start()
        except Unavailable as error:
            raise self._no_nats(url, error) from error
        self._exit.push_async_callback(_ended, publisher)
        return publisher

    def _no_nats(self, url: str, error: Unavailable) -> CommandError:
        host = url.rpartition("@")[2].rpartition("/")[2]
        if "authorization" in error.message.lower():
            return UsageError(f"NATS at {host} refused the write key: it is not known, or the registry is away")
        return CommandError(
            f"NATS at {host} does not answer: start everything with `onward up`, or name another with --nats",
            Exit.UNREACHABLE,
        )

    def _channel(self, service: Service, token: str) -> grpc.aio.Channel:
        if (service, token) not in self._channels:
            channel = self._opened(service, token)
            self._exit.push_async_callback(channel.close)
            self._channels[service, token] = channel
        return self._channels[service, token]

    def _opened(self, service: Service, token: str) -> grpc.aio.Channel:
        agent = f"onward-cli/{onward_version()}"
        return open_channel(self._address(service), token, credentials=self._credentials(service), agent=agent)

    def _address(self, service: Service) -> str:
        address = getattr(self.options, service) or self._known.get("addresses", {}).get(service, "")
        if not address:
            raise UsageError(self._nothing_known(f"the address of the {service} service"))
        return str(address)

    def _credentials(self, service: Service) -> grpc.ChannelCredentials | None:
        """Whom to trust. Plaintext goes to this machine's own addresses only, and where no authority is known."""
        named = getattr(self.options, service)
        # What the data folder trusts are its own services.
        path = self.options.ca or ("" if named else self._known.get("ca", ""))
        if path:
            return grpc.ssl_channel_credentials(read_authority(path))
        return None if is_loopback(self._address(service)) else grpc.ssl_channel_credentials()

    def _nothing_known(self, what: str) -> str:
        folder = self.options.data
        if not folder.is_dir():
            shown = folder if folder.is_absolute() else f"./{folder} here"
            return f"there is no data folder {shown}: run `onward up` first, or name it with --data"
        return (
            f"{what} is not known, since {self.client_file.path} does not tell: start everything with `onward up`,"
            " or name its folder with --data"
        )


async def _ended(publisher: Publisher) -> None:
    """Close a publisher whose command has waited for what it wanted to wait for, or was told why not."""
    with suppress(OnwardError):
        await publisher.close(timeout_s=0)


def checked_id(identifier: str, what: str) -> str:
    """Refuse what can't be an id before it becomes part of a name."""
    if _ID.fullmatch(identifier) is None:
        raise UsageError(
            f"{what} {identifier!r} is not an id: use a to z, 0 to 9 and -, a letter first, at most 63 characters"
        )
    return identifier


def as_id(name: str) -> str:
    """Give the name itself where it can be an id, else nothing: the registry then makes one."""
    return name if _ID.fullmatch(name) else ""


def read_authority(path: str) -> bytes:
    """Give the PEM of whom to trust. Raises UsageError."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"the authority's certificate {path} can't be read ({error.strerror}): see --ca") from None
    try:
        # gRPC and NATS would fail without a word on it. Around certificates, a file may hold any text.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise UsageError(f"{path} holds no certificate of an authority in PEM: see --ca") from None
    return content


def _read(client_file: ClientFile) -> dict[str, Any]:
    try:
        return client_file.read()
    except PermissionError:
        raise UsageError(f"{client_file.path} can't be read: it belongs to another user") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{client_file.path} can't be used ({error}): run `onward up` again") from None

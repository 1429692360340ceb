"""Options that every command takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter, Token

from cli.failures import UsageError

DEFAULT_DATA = Path("onward-data")

_WHERE = Group("Where to connect", sort_key=10)
_OUTPUT = Group("Output", sort_key=20)


def _option(name: str, description: str, variable: str | None = None, group: Group = _WHERE) -> Parameter:
    return Parameter(name=name, help=description, env_var=variable, group=group, negative="", show_default=False)


def _named_token(_: object, words: Sequence[Token]) -> str:
    """Refuse what was named and is no token, lest a stored one act in its place. Raises UsageError.

    A converter, since validators are asked about the default, too.
    """
    token = words[0].value
    if not token:
        raise UsageError("the token is empty: give one with --token or ONWARD_TOKEN, or name none at all")
    # What a header may hold; the token itself is not repeated.
    if not all("!" <= character <= "~" for character in token):
        raise UsageError("the token holds what no token does: it must be printable ASCII without spaces; see --token")
    return token


# Variables are read here alone; services get an environment of their own.
@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """Where to connect, as whom, and how to print."""

    data: Annotated[Path, _option("--data", "Data folder of `onward up`; ./onward-data by default.", "ONWARD_DATA")] = (
        DEFAULT_DATA
    )
    workspace: Annotated[
        str, _option("--workspace", "Workspace id; needed where the data folder knows several.", "ONWARD_WORKSPACE")
    ] = ""
    token: Annotated[
        str,
        _option("--token", "API token, instead of the data folder's.", "ONWARD_TOKEN"),
        Parameter(converter=_named_token, n_tokens=1),
    ] = ""
    registry: Annotated[str, _option("--registry", "host:port, instead of the data folder's.", "ONWARD_REGISTRY")] = ""
    delivery: Annotated[str, _option("--delivery", "host:port, instead of the data folder's.", "ONWARD_DELIVERY")] = ""
    executor: Annotated[str, _option("--executor", "host:port, instead of the data folder's.", "ONWARD_EXECUTOR")] = ""
    audit: Annotated[str, _option("--audit", "host:port, instead of the data folder's.", "ONWARD_AUDIT")] = ""
    nats: Annotated[str, _option("--nats", "nats://host:port, instead of the data folder's.", "ONWARD_NATS")] = ""
    ca: Annotated[
        str, _option("--ca", "PEM file of the authority to trust, instead of the data folder's.", "ONWARD_CA")
    ] = ""
    json: Annotated[bool, _option("--json", "Print JSON, for programs.", None, _OUTPUT)] = False
    debug: Annotated[bool, _option("--debug", "Show the traceback of an error.", None, _OUTPUT)] = False


@Parameter(name="*")
@dataclass(frozen=True)
class LocalOptions:
    """How to print, for commands that connect to nothing."""

    json: Annotated[bool, _option("--json", "Print JSON, for programs.", None, _OUTPUT)] = False
    debug: Annotated[bool, _option("--debug", "Show the traceback of an error.", None, _OUTPUT)] = False


LOCAL_DEFAULTS = LocalOptions()
DEFAULTS = Options()

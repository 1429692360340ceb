"""Options that every command takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

DEFAULT_DATA = Path("onward-data")

_WHERE = Group("Where to connect", sort_key=10)
_OUTPUT = Group("Output", sort_key=20)


def _option(name: str, description: str, variable: str | None = None, group: Group = _WHERE) -> Parameter:
    return Parameter(name=name, help=description, env_var=variable, group=group, negative="", show_default=False)


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
    token: Annotated[str, _option("--token", "API token, instead of the data folder's.", "ONWARD_TOKEN")] = ""
    registry: Annotated[str, _option("--registry", "host:port, instead of the data folder's.", "ONWARD_REGISTRY")] = ""
    delivery: Annotated[str, _option("--delivery", "host:port, instead of the data folder's.", "ONWARD_DELIVERY")] = ""
    audit: Annotated[str, _option("--audit", "host:port, instead of the data folder's.", "ONWARD_AUDIT")] = ""
    nats: Annotated[str, _option("--nats", "nats://host:port, instead of the data folder's.", "ONWARD_NATS")] = ""
    ca: Annotated[
        str, _option("--ca", "PEM file of the authority to trust, instead of the data folder's.", "ONWARD_CA")
    ] = ""
    json: Annotated[bool, _option("--json", "Print JSON, for programs.", None, _OUTPUT)] = False
    debug: Annotated[bool, _option("--debug", "Show the traceback of an error.", None, _OUTPUT)] = False


DEFAULTS = Options()

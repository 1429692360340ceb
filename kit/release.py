"""Which release of Onward this is."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
UNKNOWN = "unknown"


def onward_version() -> str:
    """The version, such as "0.1.0"; UNKNOWN where nothing says it."""
    try:
        return version("onward")
    except PackageNotFoundError:
        # The container image holds the source, and no installed distribution.
        return _of_source()


def _of_source() -> str:
    try:
        return str(tomllib.loads(PYPROJECT.read_text())["project"]["version"])
    except (OSError, ValueError, KeyError):
        return UNKNOWN

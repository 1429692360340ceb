"""Generate gen/ from protos/: messages, typed stubs and gRPC stubs.

`python tools/generate.py --check` writes nothing and exits 1 when gen/ is out of date.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"


def generate(target: Path) -> None:
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    scripts = Path(sysconfig.get_path("scripts"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PROTOS}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--mypy_grpc_out=quiet:{target}",
            *files,
        ],
        check=True,
    )
    _drop_empty_stubs(target)
    for folder in [path for path in target.rglob("*") if path.is_dir()]:
        (folder / "__init__.py").touch()
    # A file like any other, so that it is checked like any other.
    shutil.copyfile(Path(__file__).with_name("onward_package.py"), target / "onward" / "__init__.py")


def _drop_empty_stubs(target: Path) -> None:
    """Delete the gRPC modules that protoc writes for files that declare no service."""
    for path in target.rglob("*_pb2_grpc.py"):
        if "class " not in path.read_text():
            path.unlink()
            path.with_suffix(".pyi").unlink(missing_ok=True)


def listing(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        generate(fresh)
        if "--check" in sys.argv:
            names = listing(fresh)
            _, changed, missing = filecmp.cmpfiles(fresh, GEN, names, shallow=False)
            stale = sorted({*changed, *missing, *(listing(GEN) - names)})
            for name in stale:
                print(f"gen/{name} is out of date: run `make proto`", file=sys.stderr)
            return 1 if stale else 0
        shutil.rmtree(GEN, ignore_errors=True)
        shutil.copytree(fresh, GEN)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m services.executor` runs one executor."""

from kit.service import run
from services.executor.app import build
from services.executor.settings import Settings

if __name__ == "__main__":
    run("executor", Settings, build)

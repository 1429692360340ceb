"""python -m services.registry"""

from kit.service import run
from services.registry.app import build
from services.registry.settings import Settings

if __name__ == "__main__":
    run("registry", Settings, build)

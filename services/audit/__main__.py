"""python -m services.audit"""

from kit.service import run
from services.audit.app import build
from services.audit.settings import Settings

if __name__ == "__main__":
    run("audit", Settings, build)

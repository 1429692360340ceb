"""python -m services.delivery"""

from kit.service import run
from services.delivery.app import build
from services.delivery.settings import Settings

if __name__ == "__main__":
    run("delivery", Settings, build)

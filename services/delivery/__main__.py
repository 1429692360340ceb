"""python -m services.delivery"""

from kit.service import run
from services.delivery.app import build, calm_collector
from services.delivery.settings import Settings

if __name__ == "__main__":
    calm_collector()
    run("delivery", Settings, build)

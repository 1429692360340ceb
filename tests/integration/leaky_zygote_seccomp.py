"""See leaky_zygote."""

from tests.integration.leaky_zygote import start

if __name__ == "__main__":
    start(locked=True)

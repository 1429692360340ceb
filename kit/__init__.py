"""What the four services share; knows no service."""

import os

# Before gRPC is imported anywhere: its core writes to stderr in a format of its own, and its fork handlers stop
# the world whenever a child process is started.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

"""The `onward` command: speaks only gRPC and NATS, as any client would."""

import os

# gRPC's core writes to stderr in a format of its own, and warns of every child process that is started.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

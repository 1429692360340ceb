"""gRPC as all services speak it. This module imports nothing, so that names and pages need no gRPC."""

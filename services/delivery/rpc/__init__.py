"""One module for each gRPC service: request in, response out, no decisions."""

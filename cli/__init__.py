"""The `onward` command: speaks only gRPC and NATS, as any client would."""

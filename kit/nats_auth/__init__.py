"""Who may connect to NATS beside the services: the server asks, and is answered by whoever runs this."""

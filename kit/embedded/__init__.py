"""Postgres and NATS from wheels, and programs kept running: what `onward up` and the tests stand on."""

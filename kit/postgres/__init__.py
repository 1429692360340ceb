"""Postgres as all services use it: a bounded pool, migrations, named statements."""

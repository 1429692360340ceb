"""How a service is: what it checks when the operator asks, and how that is answered."""

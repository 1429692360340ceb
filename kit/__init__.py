"""What the four services share; knows no service."""

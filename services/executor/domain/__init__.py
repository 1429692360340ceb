"""What the executor decides: pure functions over events and errors."""

"""The values that every folder speaks, and the ports: what the core asks of the world."""

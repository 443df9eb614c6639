"""One module a command, named as the user types it; ``app`` wires them."""

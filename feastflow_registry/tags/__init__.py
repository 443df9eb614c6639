"""Which image a tag may hold: decide, look, move and keep."""

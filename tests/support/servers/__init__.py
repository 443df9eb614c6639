"""Small real servers for the tests: all on loopback, all recording what they see."""

"""Publish container images from a commit, and prove what is on the registry."""

"""Registries over HTTP: the OCI distribution protocol, and Docker Hub's own API."""

"""Requests that survive a bad moment, and answers that are bounded: what every API is asked by."""

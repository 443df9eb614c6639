"""The checkout, its remote, and GitHub's API."""

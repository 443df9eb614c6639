"""What the user asked for: text in, settings and services out."""

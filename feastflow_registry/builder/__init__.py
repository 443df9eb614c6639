"""Docker Engine and buildx, and what judges the images that they built."""

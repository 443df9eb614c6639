"""Images in Kubernetes manifests: found, and pinned in place."""

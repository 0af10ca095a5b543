//! Native, pure rendering of Kustomize bases and overlays.

"""All that makes this RDV this RDV: into one archive, and from it onto another host."""

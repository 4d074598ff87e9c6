"""The RDV server: it introduces tunnelling devices to each other and joins their tunnels."""

"""What Prometheus is told, and the little that serves it."""

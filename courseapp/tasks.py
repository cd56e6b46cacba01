"""Background work of the course itself."""

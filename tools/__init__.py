"""What maintainers run by hand, and what `make demo` runs."""

"""For maintainers: the README's blocks and picture, and the addresses that lead to the course."""

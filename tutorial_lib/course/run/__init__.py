"""Running chapters: each in a process of its own, with a report of all."""

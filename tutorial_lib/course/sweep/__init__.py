"""Running a chapter's experiment over a grid of settings and seeds."""

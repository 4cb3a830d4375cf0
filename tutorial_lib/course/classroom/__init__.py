"""For teachers: a copy of the course to hand out, and one table of many students' notebooks."""

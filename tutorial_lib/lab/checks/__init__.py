"""The cases behind ``check("topic.exercise", answer)``: one module a topic, one function an exercise."""

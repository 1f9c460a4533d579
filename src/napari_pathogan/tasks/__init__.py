"""The tasks: each learns something and finds, draws or changes it. They don't import each other."""

"""The dock that lists models."""

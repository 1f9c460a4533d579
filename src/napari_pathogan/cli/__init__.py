"""The `pathogan` command."""

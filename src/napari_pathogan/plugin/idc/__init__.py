"""The dock of IDC heat maps."""

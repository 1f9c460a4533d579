"""The dock of masses in mammograms: findings, decisions, training."""

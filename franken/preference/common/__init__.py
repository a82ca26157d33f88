"""Preferences out of sampled answers: how answers are scored, which become a pair."""

"""Tokens are fetched and renewed without the caller noticing."""

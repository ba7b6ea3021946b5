"""The life of a token, which a caller who is in the right never hears of."""

"""Programs that were written for the reference, aetcd 1.0.0, on it and on this client."""

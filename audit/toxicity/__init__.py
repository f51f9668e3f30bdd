"""Models of toxicity, how they are calibrated, and the terms that name identities."""

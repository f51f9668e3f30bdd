"""Personal data: kinds, patterns, checks, phone numbers and the search that the screen ``pii`` runs."""

"""The family of sources: one file a format. Members do not import each other."""

"""Worker processes: what they do, what they may hold, what they spend."""

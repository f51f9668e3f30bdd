"""Ray: its cluster, its actors, what nodes are checked for, and how tasks are packed."""

"""The duplicate search: records exchanged through files, candidates, checked pairs, clusters."""

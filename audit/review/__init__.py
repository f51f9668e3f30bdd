"""Review: what people said of the sampled documents, and the files in which they say it."""

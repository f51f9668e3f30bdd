"""The stages of a pass over a corpus, in the order of ``audit.pipeline``."""

"""Words, figures and tables of the reports."""

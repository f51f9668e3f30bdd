"""Training of the models that the package ships: commands over a data folder."""

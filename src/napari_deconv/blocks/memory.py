"""How much memory a tile takes while it is worked on, and how much there is."""

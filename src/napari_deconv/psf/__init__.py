"""Point-spread functions: synthetic, distilled from beads, measured."""

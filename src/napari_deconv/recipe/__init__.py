"""What is to be done, as people write and read it, and done again from what a result knows."""

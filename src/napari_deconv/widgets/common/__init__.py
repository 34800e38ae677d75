"""The same hand for every widget."""

"""The fitted artifacts that come with the package, one folder each."""

"""What steers: edits, the artifact that holds them, and how it is used."""

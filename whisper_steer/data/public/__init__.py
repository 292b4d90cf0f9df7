"""Public corpora to fit on: what there is, downloaded once with resume and checks, split by speaker and source."""

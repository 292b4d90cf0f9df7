"""How likely it is that a segment says what nobody said."""

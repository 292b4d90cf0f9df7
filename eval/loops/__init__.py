"""Loops: windows on which genuine models repeat themselves without end, and what mends them."""

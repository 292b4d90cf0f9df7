"""The repetition guard: sees a decoder loop while it writes, and mends it. What does not loop stays."""

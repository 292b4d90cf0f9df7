"""The laboratory bench: ungated edits of the encoder, false speech against WER, a curve for each method."""

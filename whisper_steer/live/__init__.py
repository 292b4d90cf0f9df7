"""Live audio: samples in as they come, "speech starts" and "speech ends" out, by the gate of the artifact."""

"""Checkpoint formats: one model as OpenAI's ``.pt``, as a folder of transformers, as a folder of CTranslate2.

`names` maps the weights' names, `tokenizer` writes the tokenizer that the other two need, `hf` and `ct2` write the
folders, and `ct2` reads the encoder back out of one.
"""

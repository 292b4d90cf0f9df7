"""Checkpoint formats: one model as OpenAI's ``.pt``, as a folder of transformers, as a folder of CTranslate2.

`names` maps the weights' names, `tokenizer` writes the tokenizer that the other two need, `hf` and `ct2_save` write the
folders, `ct2` reads one back, and `ct2_folder` finds one for faster-whisper.
"""

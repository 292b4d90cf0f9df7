"""Archives of recordings: INPUT -> sources -> parts -> workers -> manifests.

`inputs` lists the sources, which are recordings, pieces of them or tar shards, in a folder, a JSONL manifest or a
WebDataset. `plan` cuts what is not done yet into parts of some seconds of audio. Workers (`work`) transcribe parts, in
processes of this machine (`local`) or in an actor pool of Ray Data (`on_ray`). `run` writes each finished part as one
Parquet file (`parts`), which is never touched again, and in the end joins them to manifests (`manifest`).
"""

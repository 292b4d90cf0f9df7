"""An endpoint that speaks OpenAI's transcription interface: ``whisper-steer serve``.

`app` has the routes, `form` reads a request, `answer` writes what the interface answers, `jobs` is the queue before the
model, and `together` makes batches of what several requests ask of CTranslate2 at the same time.
"""

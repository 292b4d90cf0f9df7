"""``whisper-steer push`` and ``whisper-steer pull``: artifacts to and from the Hugging Face Hub."""

from __future__ import annotations

import click


@click.command()
@click.argument("repo", metavar="OWNER/NAME")
@click.argument("artifact")
def push(repo: str, artifact: str) -> None:
    """Upload ARTIFACT, a folder or the name of one that ships, to the hub's repository OWNER/NAME.

    The repository is made where there is none, open to everybody; make a private one on the hub first. A README.md
    says its model, data, promise and figures. The token is that of the environment (HF_TOKEN) or of hf auth login.
    """
    from whisper_steer.hub.travel import push as upload
    from whisper_steer.steer.find import resolve

    click.echo(upload(resolve(artifact), repo))


@click.command()
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--revision", help="A commit, tag or branch.  [default: the newest commit]")
@click.option("--model", help="Pull only what fits the encoder of this model: a name, or a local checkpoint.")
@click.option("--model-dir", help="Where official checkpoints are kept.")
def pull(repo: str, revision: str | None, model: str | None, model_dir: str | None) -> None:
    """Download the artifact of the hub's repository OWNER/NAME.

    From then on it is taken for every model with its encoder, before one that ships. Only safetensors and JSON are
    taken; a repository with other files is refused.
    """
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.hub.travel import PULLED
    from whisper_steer.hub.travel import pull as download
    from whisper_steer.models.load import load_model

    fingerprint = None if model is None else encoder_fingerprint(load_model(model, "cpu", model_dir).encoder)
    artifact = download(repo, revision, fingerprint)
    commit = artifact.info[PULLED]["revision"]
    click.echo(
        f"{artifact.path}: {artifact.name}, from {repo} at {commit}\n"
        f"It is taken for models whose encoder is {artifact.fingerprint[:23]}...; delete the folder to be rid of it. "
        f"The same again: whisper-steer pull {repo} --revision {commit}"
    )
